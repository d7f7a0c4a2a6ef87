"""The table of a host's slots: what they occupy, which give way, and use by several threads."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.hosts.slot import NodeShape, Slot
from actors.hosts.slot_table import SlotTable
from actors.hypervisor.capacity import Resources
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.node_spec import Multicast
from campaign.core.errors import CapacityError

ONE = Resources(vcpus=1)
LEASE = Lease("demo", "c", 9, Owner("here", "0" * 36, 1, 1))


def add(table, cluster, *, holder="", preemptible=False, port=1):
    def make(taken):
        assert port not in taken
        network = Multicast("239.1.1.1", 1)
        return Slot(cluster, (port,), network, LEASE, ONE, NodeShape(1, 512))

    return table.add(1, ONE, make, holder=holder, preemptible=preemptible)


@pytest.fixture
def table():
    return SlotTable("here", Resources(vcpus=2))


def test_what_is_preemptible_gives_way_only_where_room_is_short(table):
    ahead = add(table, "ahead", preemptible=True)
    assert table.to_preempt(1, ONE, preemptible=False) == []
    add(table, "lasting", port=2)
    assert table.to_preempt(1, ONE, preemptible=False) == [ahead]
    with pytest.raises(CapacityError, match="doesn't fit on host here"):
        table.to_preempt(1, ONE, preemptible=True)
    table.pin("ahead")
    with pytest.raises(CapacityError):
        table.to_preempt(1, ONE, preemptible=False)


def test_a_slot_that_gave_way_cannot_be_pinned(table):
    add(table, "ahead", preemptible=True)
    table.finish_release(table.begin_release("ahead"))
    with pytest.raises(CapacityError, match="needed for something else"):
        table.pin("ahead")


def test_room_is_occupied_until_the_release_is_finished(table):
    for port, cluster in enumerate(("a", "b")):
        add(table, cluster, port=port)
    entry = table.begin_release("a")
    assert table.begin_release("a") is None
    with pytest.raises(CapacityError):
        add(table, "c", port=3)
    table.finish_release(entry)
    add(table, "c", port=3)
    assert table.reserved == Resources(vcpus=2)
    assert table.clusters_ever == {"a", "b", "c"}


def test_a_slot_whose_release_failed_is_back_but_not_counted_on(table):
    add(table, "ahead", preemptible=True)
    table.fail_release(table.begin_release("ahead"))
    add(table, "b", port=2)
    with pytest.raises(CapacityError):
        table.to_preempt(1, ONE, preemptible=False)
    assert [slot.cluster for slot in table.all_slots()] == ["ahead", "b"]


def test_it_may_be_listed_while_slots_come_and_go():
    table = SlotTable("here", Resources(vcpus=1000))
    ports = itertools.count()

    def come_and_go(number):
        for again in range(200):
            name = f"{number}-{again}"
            add(table, name, holder="one", port=next(ports))
            if again % 2:
                table.finish_release(table.begin_release(name))

    def list_them():
        for _ in range(2000):
            table.slots_of("one")
            table.all_slots()

    with ThreadPoolExecutor() as threads:
        working = [threads.submit(come_and_go, number) for number in range(3)]
        working += [threads.submit(list_them) for _ in range(3)]
        for one in working:
            one.result()
    assert table.reserved == Resources(vcpus=300) and len(table.slots_of("one")) == 300
