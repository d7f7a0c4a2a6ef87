"""Flux's configuration, jobspecs and commands for a cluster that is more than equal nodes."""

import json
import re
import subprocess
import sys
import tomllib

import pytest

from campaign.core.errors import SchedulerError, WorkloadError
from campaign.core.jobs import Job, JobTraits
from campaign.schema.model import ClusterSettings
from schedulers.base import Step
from schedulers.flux.conf import cluster_toml
from schedulers.flux.jobs import smoke_test
from schedulers.flux.params import FluxParams
from schedulers.flux.queues import GRACE_S
from schedulers.topologies import topology_of
from tests.adapters import bound

FLUX = bound("flux")
GROUPS = {
    "cpu": {"nodes": 2, "slots": 4, "features": ["ib"]},
    "gpu": {"nodes": 1, "slots": 8, "gpus": 2, "gpu_type": "a100"},
}
PARTITIONS = {
    "day": {"default": True},
    "debug": {"groups": ["cpu"], "max_time_s": 90, "max_nodes": 1},
}


def cluster(**settings):
    read = ClusterSettings.model_validate({"groups": GROUPS} | settings)
    return topology_of("c", 3, read, 512)


def conf_of(topology) -> dict:
    return tomllib.loads(cluster_toml(topology, "flux").decode())


def job(width=1, number=5, **traits) -> Job:
    return Job(number, 0.0, width, 1.0, 60.0, 0, JobTraits(**traits))


def spec_of(one, topology) -> dict:
    return json.loads(FLUX.job_script(one, topology, "true"))


def system_of(one, topology) -> dict:
    return spec_of(one, topology)["attributes"]["system"]


def test_nodes_have_their_cores_gpus_and_properties() -> None:
    entries = {one["hosts"]: one for one in conf_of(cluster())["resource"]["config"]}
    assert entries["n1"] == {"hosts": "n1", "cores": "0-3", "properties": ["ib"]}
    assert (entries["n3"]["cores"], entries["n3"]["gpus"]) == ("0-7", "0-1")
    assert entries["n3"]["properties"] == ["gpu-type-a100"]


def test_partitions_are_queues_with_limits_over_nodes_with_a_property() -> None:
    conf = conf_of(cluster(partitions=PARTITIONS))
    assert conf["queues"] == {
        "day": {"requires": []},
        "debug": {
            "requires": ["partition-debug"],
            "policy": {
                "limits": {"duration": f"{90 + GRACE_S}s", "job-size": {"max": {"nnodes": 1}}}
            },
        },
        "whole-cluster": {"requires": []},
    }
    entries = {one["hosts"]: one.get("properties", []) for one in conf["resource"]["config"]}
    assert [node for node in entries if "partition-debug" in entries[node]] == ["n1", "n2"]
    assert "queues" not in conf_of(cluster())


def test_jobs_and_the_smoke_test_name_their_queues_where_there_are_any() -> None:
    topology = cluster(partitions=PARTITIONS)
    assert system_of(job(), topology)["queue"] == "day"
    debug = system_of(job(partition="debug"), topology)
    # Flux's own frobnicator, which would put the queue's property in, doesn't run.
    assert debug["queue"] == "debug"
    assert debug["constraints"] == {"properties": ["partition-debug"]}
    test = json.loads(smoke_test(topology))["attributes"]["system"]
    assert test["queue"] == "whole-cluster" and "constraints" not in test
    assert "queue" not in system_of(job(), cluster())


def test_queues_are_started_whenever_brokers_may_have_been() -> None:
    topology = cluster(partitions=PARTITIONS)
    plans = (
        FLUX.plan(topology, FluxParams(), FLUX.scheduler.make_secrets()),
        FLUX.reconfigure(topology, FluxParams()),
    )
    for plan in plans:
        steps = {stage.name: stage.steps.get("head", Step()) for stage in plan.stages}
        assert list(steps)[:3] == ["brokers", "nodes", "queues"]
        # Commands of a step with files don't always run.
        assert not steps["queues"].files
        assert steps["queues"].commands[0][1:] == ("queue", "start", "--all", "--quiet")


UP = "00:02:06 run 2.1m,  owner flux,  depth 0,  size 4"
"""What `flux uptime` says of three nodes and their head, recorded from flux-core 0.88.0."""


def test_brokers_are_ready_while_their_queues_are_stopped() -> None:
    def accepts(topology, said: str) -> bool:
        plan = FLUX.plan(topology, FluxParams(), FLUX.scheduler.make_secrets())
        (probe,) = plan.stages[1].steps["head"].probes
        return bool(re.fullmatch(probe.expect, said))

    queued = cluster(partitions=PARTITIONS)
    assert accepts(queued, UP) and accepts(queued, f"{UP}\n  scheduler stopped")
    assert not accepts(queued, f"{UP}\n  1 offline,  scheduler stopped")
    assert accepts(cluster(), UP) and not accepts(cluster(), f"{UP}\n  1 offline")


@pytest.mark.parametrize(
    ("wishes", "constraint"),
    [
        ({"features": "ib&avx"}, {"properties": ["ib", "avx"]}),
        ({"features": "ib|avx"}, {"or": [{"properties": ["ib"]}, {"properties": ["avx"]}]}),
        (
            {"gpus": 1, "gpu_type": "a100", "features": "nv"},
            {"and": [{"properties": ["gpu-type-a100"]}, {"properties": ["nv"]}]},
        ),
    ],
)
def test_wishes_are_constraints(wishes, constraint) -> None:
    groups = {"all": {"nodes": 3, "gpus": 1, "gpu_type": "a100", "features": ["ib", "avx", "nv"]}}
    assert system_of(job(**wishes), cluster(groups=groups))["constraints"] == constraint


def test_a_constraint_that_flux_does_not_know_is_refused() -> None:
    with pytest.raises(WorkloadError, match=r"job 5 wants nodes with features \[ib\*2\]"):
        FLUX.scheduler.nodes_needed(job(features="[ib*2]"), cluster())


def test_each_node_gives_an_equal_part() -> None:
    (node,) = spec_of(job(9), cluster())["resources"]
    # Two nodes of 8 and 4 could hold it, but not by halves.
    assert node["count"] == 3 == FLUX.scheduler.nodes_needed(job(9), cluster())
    assert node["with"][0]["with"] == [{"type": "core", "count": 3}]
    (own,) = spec_of(job(2, gpus=2), cluster())["resources"]
    assert own["with"][0]["with"][1] == {"type": "gpu", "count": 2} and "exclusive" not in own
    (whole,) = spec_of(job(exclusive=True), cluster())["resources"]
    assert whole["exclusive"] is True
    with pytest.raises(WorkloadError, match="by equal parts"):
        FLUX.scheduler.nodes_needed(job(14), cluster())


def test_a_rank_is_a_step_of_urgency() -> None:
    topology = cluster(qos={"low": {"priority": 5}, "high": {"priority": 900}, "none": {}})
    specs = {name: spec_of(job(qos=name), topology) for name in ("none", "low", "high")}
    urgencies = [one["attributes"].get("user", {}).get("urgency", 16) for one in specs.values()]
    assert urgencies == [16, 17, 18]
    command = FLUX.submit_command(job(qos="high"), topology, "/s")
    assert command[-2:] == ("--urgency=18", "/s")
    many = cluster(qos={f"q{number}": {"priority": number} for number in range(1, 18)})
    with pytest.raises(SchedulerError, match="18 priorities"):
        spec_of(job(), many)


FAKE = """
import json
class Flux:
    pass
class Id(int):
    f58plain = 'f6RxvRRy'
def submit(handle, text, urgency):
    spec = json.loads(text)
    system = spec["attributes"]["system"]
    if system["duration"] > 90:
        raise OSError(22, 'exceeds\\npolicy limit')
    with open(LOG, "a") as log:
        print(system["job"]["name"], urgency, system.get("dependencies"), file=log)
    return Id(700 + int(system["job"]["name"][1:]))
"""


def submitted_by_the_session(tmp_path, *jobs):
    """Run the session with a `flux` of our own, which refuses long jobs; its answers, and what was
    submitted."""
    package = tmp_path / "flux"
    package.mkdir()
    log = tmp_path / "log"
    (package / "job.py").write_text(f"LOG = {str(log)!r}\n{FAKE}")
    (package / "__init__.py").write_text("from flux.job import Flux\n")
    topology = cluster(qos={"high": {"priority": 1}})
    lines = []
    for one in jobs:
        script = tmp_path / f"{one.job_id}.json"
        script.write_bytes(FLUX.job_script(one, topology, "true"))
        lines.append(f"{script}\n")
    done = subprocess.run(
        [sys.executable, "-c", FLUX.session_command()[-1]],
        input="".join([*lines, f"{tmp_path}/none.json\n"]),
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines(), log.read_text().splitlines()


def test_the_session_submits_with_urgency_and_the_ids_of_other_jobs(tmp_path) -> None:
    long = job(number=3)._replace(requested_s=600.0)
    waits = {"after": (1,), "after_kind": "afterok"}
    answers, log = submitted_by_the_session(
        tmp_path,
        *(job(number=1, qos="high"), job(number=2, **waits), long, job(number=4, after=(3,))),
    )
    assert answers[:3] == ["ready", "0\tf6RxvRRy", "0\tf6RxvRRy"]
    assert answers[3] == "1\t[Errno 22] exceeds policy limit"
    assert answers[4] == "1\tit depends on j3, which was refused"
    assert answers[5].startswith("1\t[Errno 2]")
    assert log == ["j1 17 None", "j2 16 [{'scheme': 'afterok', 'value': '701'}]"]


def test_one_job_is_submitted_with_the_ids_of_others(tmp_path) -> None:
    """The command itself, with a `flux` that shows what it is given."""
    program = tmp_path / "flux"
    program.write_text('#!/bin/bash\necho "$@"; cat\n')
    program.chmod(0o755)
    one = job(after=(1, 31))
    script = tmp_path / "5.json"
    script.write_bytes(FLUX.job_script(one, cluster(), "true"))
    own = FLUX.submit_command(one, cluster(), str(script))
    command = [*own[own.index("bash") :]]
    # A schedule has a line for each job.
    assert not any("\n" in word for word in command)

    def run(ids):
        known = [re.sub("@native-id-of:(.*)@", lambda found: ids[found[1]], x) for x in command]
        there = [x.replace("/usr/bin/flux", str(program)) for x in known]
        return subprocess.run(there, capture_output=True, text=True, check=False)

    said, spec = run({"1": "701", "31": "731"}).stdout.split("\n", 1)
    assert said == "job submit --urgency=16"
    dependencies = json.loads(spec)["attributes"]["system"]["dependencies"]
    assert [each["value"] for each in dependencies] == ["701", "731"]
    refused = run({"1": "701", "31": ""})
    assert refused.returncode == 1 and refused.stderr == "it depends on j31, which was refused\n"


FAKE_FLUX = """#!/bin/bash
echo "$@" >>{log}
[[ $1 == jobs ]] && echo 77 && echo 78
true
"""


def test_a_node_that_goes_down_is_drained_and_its_jobs_end(tmp_path) -> None:
    events = [
        {"at_s": 5, "group": "cpu", "becomes": "down"},
        {"at_s": 7, "node": "n3", "becomes": "drain"},
        {"at_s": 9, "group": "cpu", "count": 1, "becomes": "up"},
    ]
    log = tmp_path / "log"
    program = tmp_path / "flux"
    program.write_text(FAKE_FLUX.format(log=log))
    program.chmod(0o755)
    found = FLUX.timed_commands(cluster(events=events))
    assert [at_s for at_s, _ in found] == [5, 7, 9]
    for _, command in found:
        assert not any("\n" in word for word in command)
        words = [word.replace("/usr/bin/flux", str(program)) for word in command]
        subprocess.run(words, check=True)
    drained, _, *raised, alone, back = log.read_text().splitlines()
    assert drained == "resource drain --force n1,n2 event"
    assert [line.split()[-1] for line in raised] == ["77", "78"]
    # By this note, the adapter knows jobs of lost nodes.
    assert all("--message=node failure: n1,n2" in line for line in raised)
    assert (alone, back) == ("resource drain --force n3 event", "resource undrain --force n1")
