"""Placement: reservations add up whatever happens, and a host that keeps failing is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.hosts.placement import Placement
from actors.hypervisor.capacity import Resources

NODE = Resources(memory_mib=700, vcpus=1, ports=1, disk_mib=8)
HOST = Resources(memory_mib=3000, vcpus=8, ports=20, disk_mib=1000)
TOTALS = {
    "small": NODE * 3,
    "large": NODE * 6,
    "narrow": Resources(memory_mib=100_000, vcpus=2, ports=9, disk_mib=900),
}


def needs(nodes):
    return {
        "tcg": NODE * nodes,
        "kvm": Resources(memory_mib=600, vcpus=1, ports=1, disk_mib=8) * nodes,
    }


def hosts(*names, most_failures=3):
    placement = Placement(most_failures)
    for name in names:
        placement.add(name, HOST, "tcg")
    return placement


def test_the_emptiest_host_comes_first_and_a_full_one_never():
    placement = hosts("a", "b")
    assert [placement.place(number, needs(2)) for number in range(5)] == ["a", "b", "a", "b", None]
    assert placement.room(needs(1)) == 0 and placement.trials_on("a") == [0, 2]
    assert placement.release(2, failed=False) == ""
    assert placement.room(needs(2)) == 1 and placement.place(5, needs(2)) == "a"


def test_what_a_cluster_needs_depends_on_the_kind_of_host():
    placement = Placement()
    placement.add("emulates", Resources(memory_mib=1300, vcpus=9, ports=9, disk_mib=99), "tcg")
    placement.add("virtualizes", Resources(memory_mib=1300, vcpus=9, ports=9, disk_mib=99), "kvm")
    assert placement.place(0, needs(2)) == "virtualizes"
    assert placement.reserved("virtualizes").memory_mib == 1200


def test_hosts_with_idle_actors_are_preferred_among_equals():
    placement = hosts("a", "b")
    assert placement.place(0, needs(1), preferred=[["b"]]) == "b"
    assert placement.place(1, needs(1), preferred=[["b"]]) == "b"


def test_of_two_that_are_preferred_the_first_collection_decides():
    placement = hosts("a", "b", "c")
    assert placement.place(0, needs(1), preferred=[["c", "never seen"], ["b"]]) == "c"
    assert placement.place(1, needs(1), preferred=[[], ["b"]]) == "b"


def test_a_cluster_over_several_hosts_gets_a_different_one_for_each_part_or_nothing():
    placement = hosts("a", "b")
    assert placement.place_over(0, [needs(3), needs(2)]) == ("a", "b")
    assert placement.reserved("a") == NODE * 3 and placement.reserved("b") == NODE * 2
    assert placement.trials_on("b") == [0]
    assert placement.place_over(1, [needs(1), needs(1), needs(1)]) == ()
    assert (
        placement.place_over(1, [needs(1), needs(3)]) == () and placement.reserved("b") == NODE * 2
    )
    assert placement.release(0, failed=False) == "" and placement.room(needs(4)) == 2


def test_a_trial_over_several_hosts_that_fails_counts_for_each_of_them():
    placement = hosts("a", "b", "c", most_failures=1)
    assert placement.place_over(0, [needs(1), needs(1)]) == ("a", "b")
    said = placement.release(0, failed=True)
    assert "host a gets no more" in said and "host b gets no more" in said
    assert placement.place(0, needs(1)) == "c"


def test_a_trial_that_failed_goes_elsewhere_and_others_avoid_the_host():
    placement = hosts("a", "b")
    assert placement.place(0, needs(1)) == "a"
    placement.release(0, failed=True)
    assert placement.place(0, needs(1), preferred=[["a"]]) == "b"
    assert placement.place(1, needs(1), preferred=[["a"]]) == "b"


def test_a_host_that_fails_time_after_time_is_taken_out_and_named():
    placement = hosts("a", "b", most_failures=2)
    said = []
    for number in (0, 1):
        placement.place(number, {"tcg": NODE * 4} if number else needs(1))
        said.append(placement.release(number, failed=True))
    placement.place(2, needs(1), preferred=[["a"]])
    said.append(placement.release(2, failed=True))
    assert said[-1] == "host a gets no more trials: 2 trials in a row failed there"
    assert placement.out_of_service == {"a": "2 trials in a row failed there"}
    assert placement.place(3, needs(1)) == "b"
    for _ in range(5):  # the last one is kept
        assert placement.release(3, failed=True) == "" and placement.place(3, needs(1)) == "b"
    placement.add("a", HOST, "tcg")
    assert not placement.out_of_service and placement.place(4, needs(1)) == "a"


def test_a_success_makes_up_for_failures():
    placement = hosts("a", "b", most_failures=2)
    for number, failed in enumerate([True, False, True]):
        placement.place(number, needs(1), preferred=[["a"]])
        assert placement.release(number, failed=failed) == ""
    assert not placement.out_of_service


@pytest.mark.parametrize("back", [HOST, HOST + NODE])
def test_a_host_that_comes_back_still_has_what_was_placed_there(back):
    placement = hosts("a", "b")
    assert placement.place(0, needs(2)) == "a"
    placement.take_out("a", "it was lost")
    assert placement.place(1, needs(2)) == "b" and placement.trials_on("a") == [0]
    placement.add("a", back, "tcg")
    assert placement.reserved("a") == NODE * 2
    placement.release(0, failed=True)
    assert placement.reserved("a") == Resources()


class Reservations(RuleBasedStateMachine):
    """Whatever is placed, released, lost and brought back: what a host has promised is what is
    there, and it has it."""

    def __init__(self):
        super().__init__()
        self.placement = Placement(2)
        self.next = 0
        self.there = {}
        for name, total in TOTALS.items():
            self.placement.add(name, total, "tcg")

    @rule(nodes=st.integers(1, 4), preferred=st.sets(st.sampled_from(sorted(TOTALS))))
    def place(self, nodes, preferred):
        room = self.placement.room(needs(nodes))
        host = self.placement.place(self.next, needs(nodes), preferred=[preferred])
        assert (host is not None) == (room > 0)
        if host:
            assert host not in self.placement.out_of_service
            self.there[self.next] = (host, nodes)
        self.next += 1

    @precondition(lambda self: self.there)
    @rule(data=st.data(), failed=st.booleans())
    def release(self, data, failed):
        trial = data.draw(st.sampled_from(sorted(self.there)))
        del self.there[trial]
        self.placement.release(trial, failed=failed)

    @rule(host=st.sampled_from(sorted(TOTALS)))
    def lose(self, host):
        self.placement.take_out(host, "lost")

    @rule(host=st.sampled_from(sorted(TOTALS)))
    def bring_back(self, host):
        self.placement.add(host, TOTALS[host], "tcg")

    @invariant()
    def the_reservations_add_up(self):
        for name, total in TOTALS.items():
            used = sum(
                (NODE * nodes for host, nodes in self.there.values() if host == name), Resources()
            )
            assert self.placement.reserved(name) == used
            assert all(part >= 0 for part in vars(total - used).values())
            assert sorted(self.placement.trials_on(name)) == sorted(
                t for t, (host, _) in self.there.items() if host == name
            )


TestReservations = Reservations.TestCase


@given(st.integers(1, 30), st.integers(1, 4))
def test_a_host_is_filled_to_the_last_node(count, nodes):
    placement = hosts(*(f"h{number}" for number in range(count)))
    placed = 0
    while placement.place(placed, needs(nodes)):
        placed += 1
    assert placed == count * (3000 // (700 * nodes))
