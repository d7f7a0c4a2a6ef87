"""Clusters whose nodes share VMs: who is where, and one step of those of several nodes."""

import pytest

from campaign.core.errors import SchedulerError
from schedulers.base import (
    BootstrapPlan,
    File,
    Node,
    Probe,
    Stage,
    Step,
    Topology,
    Unit,
    require_own_guests,
)


def topology(*, dense: bool, compute: int = 2) -> Topology:
    return Topology.of_equal_nodes("c", compute, slots=4, memory_mib=512, dense=dense)


DENSE = topology(dense=True)


def test_nodes_of_an_ordinary_cluster_have_vms_of_their_own() -> None:
    ordinary = topology(dense=False)
    assert ordinary.guests == ("head", "n1", "n2")
    assert not ordinary.dense
    assert [node.name for node in ordinary.nodes_of("n1")] == ["n1"]
    assert len({node.address for node in ordinary.nodes}) == 3


def test_all_nodes_of_a_dense_cluster_are_in_the_heads_vm() -> None:
    assert DENSE.guests == ("head",)
    assert DENSE.dense
    assert DENSE.nodes_of("head") == DENSE.nodes
    assert {node.address for node in DENSE.nodes} == {"127.0.0.1"}
    assert DENSE.slots == 8


def test_the_nodes_of_a_small_dense_cluster_are_those_of_a_large_one() -> None:
    assert topology(dense=True, compute=5).nodes[:3] == DENSE.nodes


def test_a_vm_may_have_several_nodes_beside_vms_of_one() -> None:
    nodes = (
        Node("head", "head", "10.0.0.1", 0, 512),
        Node("n1", "compute", "10.0.0.2", 1, 512, "many"),
        Node("n2", "compute", "10.0.0.2", 1, 512, "many"),
    )
    mixed = Topology("c", nodes)
    assert mixed.guests == ("head", "many")
    assert mixed.dense
    assert mixed.nodes_of("many") == nodes[1:]


def plan(**steps: Step) -> BootstrapPlan:
    return BootstrapPlan((Stage("one", steps),))


def test_an_ordinary_cluster_has_the_same_plan_by_vm() -> None:
    made = plan(head=Step(commands=(("true",),)), n1=Step(commands=(("false",),)))
    assert made.by_guest(topology(dense=False)) == made


def test_steps_in_one_vm_become_one_with_everything_once() -> None:
    shared = File("/key", b"k", secret=True)
    probe = Probe("all there", ("sinfo",), "2", 60)
    made = plan(
        n1=Step((shared, File("/n1", b"1")), (("reload",),), (Unit("m"), Unit("d@n1"))),
        head=Step((shared,), (("reload",), ("go",)), (Unit("m"), Unit("c")), (probe,)),
        n2=Step((shared, File("/n2", b"2")), (("reload",),), (Unit("m"), Unit("d@n2")), (probe,)),
    )
    (stage,) = made.by_guest(DENSE).stages
    assert stage.steps == {
        "head": Step(
            (shared, File("/n1", b"1"), File("/n2", b"2")),
            (("reload",), ("go",)),
            (Unit("m"), Unit("c"), Unit("d@n1"), Unit("d@n2")),
            (probe,),
        )
    }


def test_a_stage_that_concerns_no_node_of_a_vm_has_no_step_for_it() -> None:
    assert plan().by_guest(DENSE).stages == (Stage("one", {}),)


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        (Step((File("/conf", b"1"),)), Step((File("/conf", b"2"),)), "/conf"),
        (Step((File("/conf", b"1"),)), Step((File("/conf", b"1", 0o600),)), "/conf"),
        (Step(units=(Unit("d"),)), Step(units=(Unit("d", "reload"),)), "d"),
        (
            Step((File("/conf", b"1"),), (("reload",),)),
            Step(commands=(("always",),)),
            "always run",
        ),
    ],
)
def test_nodes_that_want_different_things_of_one_vm_are_refused(
    one: Step, other: Step, named: str
) -> None:
    with pytest.raises(SchedulerError, match=f"stage one on head: .*{named}"):
        plan(n1=one, n2=other).by_guest(DENSE)


def test_an_adapter_without_a_plan_for_it_refuses_a_dense_cluster() -> None:
    require_own_guests("Tiny", topology(dense=False))
    with pytest.raises(SchedulerError, match="Tiny has no plan") as caught:
        require_own_guests("Tiny", DENSE)
    assert "cluster.dense=false" in caught.value.resolution
