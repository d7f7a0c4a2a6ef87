"""The adapters for Kubernetes: what they build is what its daemons read, and what those say is read
or refused.

Texts were recorded from Kubernetes 1.35.6 and Volcano 1.15.1, and shortened.
"""

import io
import json
import os
import shlex
import struct
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.jobs import Job
from schedulers._kubernetes import access, daemons, image, offers, pods
from schedulers.base import ParseError
from schedulers.fitting import fewest_nodes
from schedulers.kube.params import KubeParams
from schedulers.samples import topology
from schedulers.volcano.params import VolcanoParams
from tests.adapters import bound

KUBE = bound("kube")
VOLCANO = bound("volcano")
BOTH = pytest.mark.parametrize("scheduler", [KUBE, VOLCANO], ids=["kube", "volcano"])
CLUSTER = topology(3)
NO_ROOM = "0/2 nodes are available: 2 Insufficient campaign.dev/slot."


def job(width: int, number: int = 7) -> Job:
    return Job(number, 0.0, width, 5.0, 60.5, 0)


def table(**states: str) -> str:
    rows = [{"cells": [name, state, "0/1", "5s", "5s"]} for name, state in states.items()]
    return json.dumps({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": rows}) + "\n"


def pod(
    of: str, *, at: str = "", waits: str = "", code: int | None = None, ended: str = ""
) -> dict:
    placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": at}
    unplaced = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": waits,
    }
    state = (
        {"running": {}} if code is None else {"terminated": {"exitCode": code, "finishedAt": ended}}
    )
    status = {"conditions": [placed if at else unplaced], "containerStatuses": [{"state": state}]}
    if not at:
        status = {"conditions": [unplaced] if waits else None}
    return {"metadata": {"name": f"{of}-0", "labels": {pods.JOB_LABEL: of}}, "status": status}


def listed(*of: dict) -> str:
    return json.dumps({"kind": "PodList", "apiVersion": "v1", "items": list(of)}) + "\n"


def spec(scheduler, width: int) -> dict:
    return json.loads(scheduler.job_script(job(width), CLUSTER, "echo <it's>"))["spec"]


def test_a_pod_waits_in_a_program_of_nine_bytes(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(image.pause())
    program.chmod(0o755)
    waiting = subprocess.Popen([program])
    time.sleep(0.2)
    try:
        assert waiting.poll() is None
        state = Path(f"/proc/{waiting.pid}/stat").read_text().rpartition(") ")[2][0]
        assert state == "S"  # it sleeps, rather than going round and round
    finally:
        waiting.kill()
        waiting.wait()
    assert struct.unpack_from("<H", image.pause(), 16) == (2,)


def test_the_image_is_an_oci_archive_whose_digests_are_true() -> None:
    import hashlib

    assert image.archive() == image.archive()
    with tarfile.open(fileobj=io.BytesIO(image.archive())) as outer:
        blobs = {member.name: outer.extractfile(member).read() for member in outer}
    for name, blob in blobs.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}"
    (named,) = json.loads(blobs["index.json"])["manifests"]
    manifest = json.loads(blobs["blobs/" + named["digest"].replace(":", "/")])
    layer = blobs["blobs/" + manifest["layers"][0]["digest"].replace(":", "/")]
    assert named["annotations"]["io.containerd.image.name"] == image.NAME
    with tarfile.open(fileobj=io.BytesIO(layer)) as root:
        assert {f"/{name}" for name in root.getnames()} >= {
            *image.MOUNTS,
            image.PAUSE,
            "/bin",
            "/lib64",
        }
        assert root.getmember("bin").linkname == "usr/bin"


@given(st.integers(1, 64), st.integers(1, 200))
def test_shares_need_as_many_nodes_as_there_are(slots: int, width: int) -> None:
    """No two pods of a job fit one node, whether they are as even as can be or all as large as the
    largest."""
    nodes = -(-width // slots)
    found = pods.shares(width, nodes)
    assert sum(found) == width and len(found) == nodes and max(found) <= slots
    assert found == sorted(found, reverse=True)
    if nodes > 1:
        assert found[-1] + found[-2] > slots


def test_a_kubernetes_job_has_equal_pods_and_a_volcano_job_a_task_for_each_size() -> None:
    nodes = fewest_nodes(job(5), CLUSTER)
    plain = spec(KUBE, 5)
    gang = spec(VOLCANO, 5)
    assert (plain["parallelism"], plain["completions"], plain["backoffLimit"]) == (nodes, nodes, 0)
    assert requested(plain["template"]) == "3"
    assert [(one["replicas"], requested(one["template"])) for one in gang["tasks"]] == [
        (1, "3"),
        (1, "2"),
    ]
    assert gang["minAvailable"] == 2 and gang["queue"] == "default"
    assert all(one["template"]["spec"]["schedulerName"] == "volcano" for one in gang["tasks"])
    assert "schedulerName" not in plain["template"]["spec"]


def requested(template: dict) -> str:
    (container,) = template["spec"]["containers"]
    return container["resources"]["requests"][offers.SLOT]


def test_the_limit_begins_when_all_pods_have_met() -> None:
    (alone,), (wide,) = (spec(KUBE, width)["template"]["spec"]["containers"] for width in (1, 5))
    limited = "exec timeout -k 5 70.500 /bin/bash -c 'echo <it'\"'\"'s>'"
    assert alone["command"] == ["/bin/bash", "-c", limited]
    meets, _, runs = wide["command"][2].partition(" && exec 3>&- && ")
    assert runs == limited and meets.startswith("exec 3<>/dev/tcp/10.42.0.1/") and "'j7 2'" in meets


def test_a_job_waits_while_one_of_its_pods_has_no_node() -> None:
    """j1 and j5 have half of their pods each: both wait, as the other's end is what they wait
    for."""
    text = table(j1="Running", j2="Complete", j3="Running", j5="Running", j6="Running") + listed(
        *(
            pod("j1", waits=NO_ROOM),
            pod("j5", waits=NO_ROOM),
            pod("j3", at="2026-11-25T19:57:44Z"),
            pod("j6"),
        )
    )
    assert KUBE.parse_pending(text) == {
        "j1": NO_ROOM,
        "j3": "",
        "j5": NO_ROOM,
        "j6": "not looked at yet",
    }


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (table(j1="Complete", j2="Failed"), 0),
        (table(), 0),
        (table(j1="Complete", j2="Running"), 1),
        (table(j1="Pending"), 1),
        ("", 2),
        ("{}", 2),
    ],
)
def test_it_is_idle_when_no_job_is_left(tmp_path: Path, answer: str, status: int) -> None:
    curl = tmp_path / "curl"
    curl.write_text(f"#!/bin/bash\nprintf %s {shlex.quote(answer)}\n")
    curl.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(KUBE.idle_command(), env=env, check=False).returncode == status


def test_a_volcano_job_without_pods_waits_too() -> None:
    text = table(j3="Pending", j4="Pending", j5="Pending", j6="Running", j7="Aborted") + listed(
        pod("j3", at="2026-11-25T20:09:35Z"), pod("j4", waits="0/2 nodes are unavailable")
    )
    expected = {"j3": "", "j4": "0/2 nodes are unavailable", "j5": "no pods yet", "j6": ""}
    assert VOLCANO.parse_pending(text) == expected


def test_accounts_begin_with_the_last_pods_node_and_end_with_the_last_pod() -> None:
    ended = [
        pod("j1", at="2026-11-25T19:57:37Z", code=0, ended="2026-11-25T19:58:00Z"),
        pod("j1", at="2026-11-25T19:57:40Z", code=0, ended="2026-11-25T19:57:59Z"),
    ]
    found = KUBE.parse_accounting(
        table(j1="Complete", j2="Running") + listed(*ended, pod("j2", at="2026-11-25T20:00:00Z"))
    )
    assert list(found) == ["j1"] and KUBE.final_state(found["j1"].state) == "completed"
    assert found["j1"].end_s - found["j1"].start_s == 20


@pytest.mark.parametrize(
    ("state", "codes", "final"),
    [
        ("Complete", (0, 0), "completed"),
        ("Suspended", (), "cancelled"),
        ("Failed", (3,), "failed"),
        ("Failed", (0, 124), "timeout"),
        ("Failed", (137, 124), "timeout"),
        ("Failed", (), "node_lost"),
        ("Failed", (0,), "node_lost"),
    ],
)
def test_final_states_are_told_by_jobs_and_their_pods(
    state: str, codes: tuple[int, ...], final: str
) -> None:
    text = listed(
        *(
            pod("j1", at="2026-11-25T19:57:37Z", code=code, ended="2026-11-25T19:58:00Z")
            for code in codes
        )
    )
    for scheduler, word in ((KUBE, state), (VOLCANO, VOLCANO_WORDS[state])):
        ended = scheduler.parse_accounting(table(j1=word) + text)["j1"]
        assert scheduler.final_state(ended.state) == final


VOLCANO_WORDS = {"Complete": "Completed", "Suspended": "Aborted", "Failed": "Terminated"}


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "Status"}',
        listed({"metadata": {}, "status": {}}),
        listed({"metadata": {"labels": {pods.JOB_LABEL: "j1"}}}),
        "[1]",
        table(j1="x") + "{",
    ],
)
def test_other_answers_of_the_api_server_are_refused(scheduler, text: str) -> None:
    for parse in (scheduler.parse_pending, scheduler.parse_accounting):
        with pytest.raises(ParseError):
            parse(text)


@BOTH
def test_only_tokens_and_keys_that_were_drawn_open_the_api_server(scheduler) -> None:
    secrets = scheduler.scheduler.make_secrets()
    files = [
        (node, file)
        for node, file in scheduler.plan(CLUSTER, scheduler.scheduler.Params(), secrets).files()
    ]
    configs = {
        node: json.loads(file.content) for node, file in files if file.path == access.KUBECONFIG
    }
    tokens = {node: config["users"][0]["user"]["token"] for node, config in configs.items()}
    assert len(set(tokens.values())) == 4 and secrets[access.TOKEN].decode() not in tokens.values()
    (known,) = (file for _, file in files if file.path == access.TOKENS_FILE)
    rows = [line.split(",") for line in known.content.decode().splitlines()]
    assert {row[0] for row in rows} == set(tokens.values())
    assert [row[1:] for row in rows][:2] == [
        ["admin"] * 2 + ["system:masters"],
        ["system:node:n1"] * 2 + ["system:nodes"],
    ]
    (server,) = (file for _, file in files if file.path.endswith(daemons.API_SERVER))
    assert "--anonymous-auth=false" in server.content.decode()


@BOTH
def test_a_smaller_cluster_forgets_the_other_nodes(scheduler, tmp_path: Path) -> None:
    """The shell commands themselves, with a `curl` of ours that has three nodes and says what it
    deletes."""
    first, *_ = scheduler.reconfigure(topology(1), scheduler.scheduler.Params()).stages
    rows = [{"cells": [name, "Ready", "<none>"]} for name in ("n1", "n2", "n3")]
    (tmp_path / "nodes").write_text(json.dumps({"kind": "Table", "rows": rows}, indent=2))
    curl = tmp_path / "curl"
    curl.write_text(
        f'#!/bin/bash\ncase "$*" in *DELETE*) echo "${{@: -1}}" >>{tmp_path}/gone ;; *) cat '
        f"{tmp_path}/nodes ;; esac\n"
    )
    curl.chmod(0o755)
    ((command,),) = (step.commands for step in first.steps.values())
    subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    gone = (tmp_path / "gone").read_text().split()
    assert [line.rpartition("/")[2] for line in gone] == ["n2", "n3"]


def configz(params: KubeParams) -> str:
    """What /configz says of a scheduler that was given these parameters: everything begins with a
    capital."""
    (conf,) = (
        json.loads(file.content)
        for _, file in KUBE.plan(CLUSTER, params, KUBE.scheduler.make_secrets()).files()
        if file.path.endswith("scheduler.json")
    )

    def capital(value):
        if isinstance(value, dict):
            return {
                (k.upper() if k == "qps" else k[0].upper() + k[1:]): capital(v)
                for k, v in value.items()
            }
        return [capital(one) for one in value] if isinstance(value, list) else value

    return json.dumps({"componentconfig": capital(conf)})


@given(
    st.builds(
        KubeParams,
        podInitialBackoffSeconds=st.integers(1, 10),
        qps=st.integers(1, 99),
        scoringStrategy=st.sampled_from(["LeastAllocated", "MostAllocated"]),
    )
)
def test_kube_schedulers_parameters_come_back_from_what_it_runs_with(params: KubeParams) -> None:
    assert KUBE.parse_config(configz(params)) == params.model_dump()


def runs(params: VolcanoParams, *, loaded: str | None = None) -> str:
    files = {
        file.path: file.content.decode(errors="replace")
        for _, file in VOLCANO.plan(CLUSTER, params, VOLCANO.scheduler.make_secrets()).files()
    }
    unit = next(text for path, text in files.items() if path.endswith("vc-scheduler.service"))
    command = next(
        line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart=")
    )
    conf = next(text for path, text in files.items() if path.endswith("vc-scheduler.json"))
    config = json.loads(conf)
    plugins = " ".join(one["name"] for tier in config["tiers"] for one in tier["plugins"])
    actions = config["actions"].replace(",", "")
    said = loaded or f"actions=[{actions}], plugins=[{plugins}]"
    return (
        f"{command}\nI1125 20:07:17 253 scheduler.go:159] Finished loading. Final state: "
        f"{said}\n{conf}"
    )


@given(
    st.builds(
        VolcanoParams,
        schedule_period=st.floats(0.05, 3600),
        actions=st.sampled_from(["enqueue, allocate, backfill", "allocate"]),
        gang=st.booleans(),
        drf=st.booleans(),
        proportion=st.booleans(),
        overcommit_factor=st.floats(1, 100),
        binpack_weight=st.integers(0, 3),
        kube_api_qps=st.integers(1, 99),
    )
)
def test_volcanos_parameters_come_back_from_what_it_runs_with(params: VolcanoParams) -> None:
    assert VOLCANO.parse_config(runs(params)) == params.model_dump()


def test_a_configuration_that_volcano_hasnt_loaded_is_noticed() -> None:
    stale = "actions=[enqueue allocate backfill], plugins=[priority gang conformance overcommit]"
    with pytest.raises(ParseError):
        VOLCANO.parse_config(runs(VolcanoParams(), loaded=stale))


def test_versions_are_the_schedulers_own() -> None:
    assert KUBE.parse_version('{"major": "1", "minor": "35", "gitVersion": "v1.35.6"}') == "1.35.6"
    assert (
        VOLCANO.parse_version("API Version: v1alpha1\nVersion: v1.15.1\nGit SHA: 0a56ed33\n")
        == "1.15.1"
    )


@pytest.mark.parametrize("commit", ["0a56ed33", "f81d2c06-dirty", "v1.15.1-12-gf81d2c06"])
def test_a_build_of_sources_has_a_commit_for_a_version(commit: str) -> None:
    said = VOLCANO.parse_version(f"API Version: v1alpha1\nVersion: {commit}\nGit SHA: {commit}\n")
    assert said == commit.removeprefix("v")


def test_a_version_that_cannot_be_read_is_recorded_as_it_is() -> None:
    assert KUBE.parse_version("\n<html>\x1b[1m\nsorry") == r"<html>\x1b[1m"
    assert VOLCANO.parse_version(" \n") == "unknown"
    assert len(VOLCANO.parse_version("x" * 1000)) == 80


@BOTH
def test_time_limits_leave_a_second_and_more_to_the_start_of_the_wrapper(scheduler) -> None:
    """A job that runs for all it asked isn't ended because its wrapper takes time to start."""
    assert pods.GRACE_S > 1.0
    assert scheduler.scheduler.policy(scheduler.scheduler.Params()).grace_s == pods.GRACE_S


@BOTH
def test_what_does_not_fit_holds_up_nothing_in_a_simulation(scheduler) -> None:
    assert scheduler.scheduler.policy(scheduler.scheduler.Params()).reserve == "skip"
    assert scheduler.scheduler.gangs is (scheduler is VOLCANO)


@BOTH
def test_a_kubelet_never_puts_a_pod_out_and_need_not_look_for_a_reason(scheduler) -> None:
    """It does nothing each ten seconds where it has no threshold, which 0% and 100% are to it, and
    keeps no account of pods' disks."""
    plan = scheduler.plan(CLUSTER, scheduler.scheduler.Params(), scheduler.scheduler.make_secrets())
    found = [json.loads(file.content) for _, file in plan.files() if "kubelet.json" in file.path]
    assert len(found) == len(CLUSTER.compute)
    for kubelet in found:
        # Without any named, it has thresholds of its own.
        assert kubelet["evictionHard"] and set(kubelet["evictionHard"].values()) <= {"0%", "100%"}
        assert kubelet["localStorageCapacityIsolation"] is False


def test_only_kinds_of_controllers_that_run_are_made_known(tmp_path: Path) -> None:
    kinds = ("batch.volcano.sh_jobs", "flow.volcano.sh_jobflows", "scheduling.volcano.sh_queues")
    for kind in kinds:
        (tmp_path / f"{kind}.yaml").touch()
    asked = tmp_path / "asked"
    curl = tmp_path / "curl"
    # Nothing is known yet, and whatever is posted is accepted.
    curl.write_text(f'#!/bin/bash\necho "$@" >>{asked}\n[[ $* == *--data-binary* ]]\n')
    curl.chmod(0o755)
    (define,) = VOLCANO.control(VolcanoParams(), CLUSTER).before
    here = [word.replace("/usr/share/volcano/crds", str(tmp_path)) for word in define]
    subprocess.run(here, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    posted = [line for line in asked.read_text().splitlines() if "--data-binary" in line]
    assert [line.partition("@")[2].split()[0].rpartition("/")[2] for line in posted] == [
        "batch.volcano.sh_jobs.yaml",
        "scheduling.volcano.sh_queues.yaml",
    ]
