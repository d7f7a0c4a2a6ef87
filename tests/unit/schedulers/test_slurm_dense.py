"""Slurm's nodes in one VM: daemons of one unit, told apart by name and port."""

import re

from schedulers.base import BootstrapPlan, Topology
from schedulers.slurm.params import SlurmParams
from tests.adapters import bound

SLURM = bound("slurm")


def dense(compute: int) -> Topology:
    return Topology.of_equal_nodes("c7", compute, slots=4, memory_mib=512, dense=True)


def made_by_vm(topology: Topology) -> BootstrapPlan:
    return SLURM.plan(topology, SlurmParams(), SLURM.scheduler.make_secrets()).by_guest(topology)


def settings_of(plan: BootstrapPlan) -> dict[str, str]:
    text = next(f.content for _, f in plan.files() if f.path == "/etc/slurm/slurm.conf").decode()
    return dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")
    )


def test_nodes_of_a_dense_cluster_are_daemons_on_ports_of_one_vm() -> None:
    plan = made_by_vm(dense(2))
    text = next(f.content for _, f in plan.files() if f.path == "/etc/slurm/slurm.conf").decode()
    assert re.findall(
        r"^NodeName=(\S+) NodeHostname=head NodeAddr=127.0.0.1 Port=(\d+) ", text, re.M
    ) == [
        ("n1", "7001"),
        ("n2", "7002"),
    ]
    conf = settings_of(plan)
    own = ("SlurmdSpoolDir", "SlurmdPidFile", "SlurmdLogFile")
    assert all("%n" in conf[key] for key in own)
    assert "SlurmctldParameters" not in conf  # nobody fetches what is there
    assert [unit.name for unit in plan.stages[-1].steps["head"].units] == [
        "slurmd@n1.service",
        "slurmd@n2.service",
    ]


def test_the_scheduler_is_configured_alike_in_dense_and_ordinary_clusters() -> None:
    ordinary = Topology.of_equal_nodes("c7", 2, slots=4, memory_mib=512)
    confs = [settings_of(made_by_vm(topology)) for topology in (ordinary, dense(2))]
    differ = {key for conf in confs for key in conf if confs[0].get(key) != confs[1].get(key)}
    assert differ == {
        "SlurmctldHost",
        "SlurmctldParameters",
        "SlurmdSpoolDir",
        "SlurmdPidFile",
        "SlurmdLogFile",
        "NodeName",
    }


def test_many_nodes_of_a_vm_start_by_one_command_and_have_longer_to_join() -> None:
    (small, large) = (made_by_vm(dense(count)).stages[-1].steps["head"] for count in (2, 256))
    assert len(large.units) == 256
    assert len(large.files) == len(large.commands) == len(large.probes) == 1
    assert large.probes[0].deadline_s > small.probes[0].deadline_s
