"""Kubernetes where all nodes share the head's VM: what stands in, and what asks for it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from campaign.core.jobs import Job
from schedulers._kubernetes import access, daemons, dense, offers
from schedulers.base import Topology
from schedulers.systemd_fake import FakeSystemd
from tests.adapters import bound
from tests.fakes.kube_api import serving, until

BOTH = pytest.mark.parametrize(
    "scheduler", [bound("kube"), bound("volcano")], ids=["kube", "volcano"]
)


def cluster(compute: int) -> Topology:
    return Topology.of_equal_nodes("c", compute, slots=4, memory_mib=512, dense=True)


def plan(scheduler, compute: int = 3):
    made = scheduler.plan(
        cluster(compute), scheduler.scheduler.Params(), scheduler.scheduler.make_secrets()
    )
    return made.by_guest(cluster(compute))


@BOTH
def test_the_head_has_everything_and_no_kubelet_runs(scheduler) -> None:
    made = plan(scheduler)
    assert {name for stage in made.stages for name in stage.steps} == {"head"}
    units = [
        unit.name for stage in made.stages for step in stage.steps.values() for unit in step.units
    ]
    assert units[:4] == [daemons.ETCD, daemons.API_SERVER, daemons.RENDEZVOUS, dense.KUBELETS]
    assert daemons.KUBELET not in units and daemons.CONTAINERD not in units
    runs = {file.path: file.content.decode() for _, file in made.files()}
    unit = runs[f"/etc/systemd/system/{dense.KUBELETS}"]
    assert "KillMode=control-group" in unit
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    python, *words = shlex.split(command.removeprefix("ExecStart="))
    assert python == "/usr/bin/python3" and [word in runs for word in words] == [True] * 3 + [False]


@BOTH
def test_daemons_are_quieted_only_where_all_nodes_share_a_vm(scheduler) -> None:
    ordinary = Topology.of_equal_nodes("c", 3, slots=4, memory_mib=512)
    params = scheduler.scheduler.Params()
    secrets = scheduler.scheduler.make_secrets()
    for topology in (cluster(3), ordinary):
        found = {file.path: file for _, file in scheduler.plan(topology, params, secrets).files()}
        server = found[f"/etc/systemd/system/{daemons.API_SERVER}"].content.decode()
        store = found[f"/etc/systemd/system/{daemons.ETCD}"].content.decode()
        assert ("--watch-cache=false" in server) is topology.dense
        assert ("--heartbeat-interval=500" in store) is not topology.dense
        settings = [path for path in found if path.endswith("quiet.conf")]
        assert len(settings) == (len(dense.QUIET) if topology.dense else 0)


def settings_of(made, unit: str) -> dict[str, str]:
    """Return the unit's settings, as systemd takes them from the plan's files: of files of one name
    that of the folder with the longest beginning of the unit's, then by the files' names."""
    name = unit.removesuffix(".service")
    chosen: dict[str, tuple[int, str]] = {}
    for _, file in made.files():
        path = Path(file.path)
        one = path.parent.name.removesuffix(".service.d")
        if path.suffix == ".conf" and (one == name or (one[-1] == "-" and name.startswith(one))):
            found = (len(one), file.content.decode())
            chosen[path.name] = max(chosen.get(path.name, found), found)
    lines = [line for _, (_, text) in sorted(chosen.items()) for line in text.splitlines()]
    return dict(line.split("=", 1) for line in lines if "=" in line)


@BOTH
def test_the_daemons_heaps_leave_room_in_the_least_memory_of_a_vm(scheduler) -> None:
    units = (daemons.ETCD, daemons.API_SERVER, *scheduler.units)
    environments = [settings_of(plan(scheduler), unit)["Environment"] for unit in units]
    heaps = [int(re.search(r"GOMEMLIMIT=(\d+)MiB", found)[1]) for found in environments]
    assert min(heaps) >= 128
    # The rest is for the system, the store's files, and programs in Python.
    assert sum(heaps) <= scheduler.scheduler.memory_mib - 512


@BOTH
def test_timers_of_daemons_that_decide_are_hardly_late(scheduler) -> None:
    made = plan(scheduler)
    for unit in scheduler.units:
        assert settings_of(made, unit)["TimerSlackNSec"] == "100ms"
    for unit in (daemons.ETCD, daemons.API_SERVER):
        assert settings_of(made, unit)["TimerSlackNSec"] == "1000ms"


@pytest.mark.parametrize(("period_s", "late"), [(0.05, "5ms"), (0.5, "50ms"), (60.0, "100ms")])
def test_volcano_is_never_late_by_more_than_a_tenth_of_its_pause(period_s, late) -> None:
    volcano = bound("volcano")
    params = volcano.scheduler.Params(schedule_period=period_s)
    scheduler, controllers = volcano.units
    made = volcano.plan(cluster(3), params, volcano.scheduler.make_secrets())
    assert settings_of(made, scheduler)["TimerSlackNSec"] == late
    assert settings_of(made, controllers)["TimerSlackNSec"] == "100ms"
    # Nothing is set where nodes have VMs of their own, and a trial's own parameters count.
    ordinary = Topology.of_equal_nodes("c", 3, slots=4, memory_mib=512)
    assert not settings_of(volcano.reconfigure(ordinary, params), scheduler)
    again = settings_of(volcano.reconfigure(cluster(3), params), scheduler)
    assert again == {"TimerSlackNSec": late}


@BOTH
def test_nodes_offer_their_slots_without_further_commands(scheduler) -> None:
    made = plan(scheduler)
    (nodes,) = (
        json.loads(file.content) for _, file in made.files() if file.path == dense.NODES_FILE
    )
    assert [node["metadata"]["name"] for node in nodes] == ["n1", "n2", "n3"]
    for node in nodes:
        assert (
            node["status"]["capacity"][offers.SLOT] == node["status"]["allocatable"]["cpu"] == "4"
        )
    (slots,) = (stage.steps["head"] for stage in made.stages if stage.name == "slots")
    assert not slots.commands and len(slots.probes) == 1


@BOTH
def test_the_vm_is_healthy_while_the_stand_in_lives_too(scheduler, tmp_path: Path) -> None:
    ordinary = Topology.of_equal_nodes("c", 2, slots=4, memory_mib=512)
    units = {unit.name for stage in plan(scheduler).stages for unit in stage.steps["head"].units}
    health = scheduler.health_command(cluster(3).nodes)
    with FakeSystemd() as systemd:
        assert systemd.succeeds(health, units)
        for unit in units:
            assert not systemd.succeeds(health, units - {unit})
    assert scheduler.log_files(cluster(3).compute[2]) == ()
    assert daemons.log(dense.KUBELETS) in scheduler.log_files(cluster(3).head)
    assert scheduler.log_files(ordinary.compute[1])[-1] == daemons.log(daemons.KUBELET)


@BOTH
@pytest.mark.parametrize(("said", "ok"), [("200 404", True), ("200 403", False), ("000", False)])
def test_nodes_that_only_stand_in_are_forgotten(scheduler, tmp_path: Path, said, ok) -> None:
    """The command itself, with a `curl` of ours that gives the answers' codes."""
    curl = tmp_path / "curl"
    curl.write_text(f'#!/bin/bash\necho "${{@: -1}}" >{tmp_path}/asked\nprintf "%s\\n" {said}\n')
    curl.chmod(0o755)
    command = scheduler.stop_command(cluster(3).compute[1:])
    done = subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False)
    assert (done.returncode == 0) is ok
    assert (tmp_path / "asked").read_text().strip() == access.url("/api/v1/nodes/{n2,n3}")


@BOTH
def test_the_stand_in_runs_a_pod_of_ours_as_the_payload_wants_it(scheduler, tmp_path: Path) -> None:
    """The real program with the plan's own nodes and a job's own pods."""
    topology = cluster(2)
    ran = tmp_path / "ran"
    node = scheduler.payload_node(topology)
    script = scheduler.job_script(
        Job(7, 0.0, 3, 5.0, 60.0, 0), topology, f'echo "{node}" >>{shlex.quote(str(ran))}'
    )
    spec = json.loads(script)["spec"]
    template = spec["template"] if "template" in spec else spec["tasks"][0]["template"]
    files = {file.path: file for _, file in plan(scheduler, 2).files()}
    (tmp_path / "nodes.json").write_bytes(files[dense.NODES_FILE].content)
    program = tmp_path / "kubelets.py"
    program.write_bytes(files["/var/lib/campaign/kubelets.py"].content)
    with serving(tmp_path) as (store, kubeconfig):
        words = [program, kubeconfig, tmp_path / "nodes.json", tmp_path / "noted"]
        process = subprocess.Popen([sys.executable, *words])
        try:
            store.pod("j7-0", "", node="n2", **template["spec"])
            until(lambda: store.phase("j7-0") == "Succeeded")
        finally:
            process.terminate()
            process.wait()
    assert ran.read_text() == "n2\n" and len(store.nodes) == 2
