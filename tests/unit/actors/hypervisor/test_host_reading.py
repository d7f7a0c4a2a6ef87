"""A machine's load by its /proc: pressure, whose CPU time is whose, and how long nodes waited."""

import os

import pytest

from actors.hypervisor.host_reading import HostReader, pressure_s, sample_between
from campaign.core.host_load import taken
from tests.fakes.proc import FakeMachine, Program

DRIVER = 100
NODES = ("c-t1-head", "c-t1-n1", "c-t1-n2")


@pytest.fixture
def machine(tmp_path):
    """Two CPUs, and a driver that does nothing."""
    made = FakeMachine(tmp_path)
    made.run(Program(DRIVER, threads=0))
    return made


def reader_of(machine, nodes=()):
    return HostReader([DRIVER], lambda: nodes, root=machine.root, clock=lambda: machine.now)


def sampled(machine, reader, seconds=10.0):
    before = reader.read()
    machine.advance(seconds)
    return sample_between(before, reader.read())


def start_nodes(machine):
    for number, node in enumerate(NODES):
        machine.run(Program(200 + 10 * number, node=node))


def test_emulated_nodes_that_fill_all_cpus_are_under_pressure_but_nothing_is_taken(machine):
    start_nodes(machine)
    found = sampled(machine, reader_of(machine, NODES))
    assert found.cpu == 1.0
    assert found.own_cpus == pytest.approx(2.0, abs=0.01)
    assert found.foreign_cpus == pytest.approx(0.0, abs=0.01)
    assert found.waited_s == pytest.approx(10.0, abs=0.01)
    assert found.ran_s == pytest.approx(20.0, abs=0.01)
    assert taken([found]) == pytest.approx(0.0, abs=0.01)


def test_others_take_what_nodes_wait_for_and_others_have(machine):
    machine.run(Program(201, node=NODES[0]))
    for pid in (400, 401, 402):
        machine.run(Program(pid, threads=2))
    found = sampled(machine, reader_of(machine, NODES))
    # Seven threads on two CPUs: a node has 2/7 of what it wants, and others 6/7 of what is used.
    assert found.foreign_cpus == pytest.approx(2 * 6 / 7, abs=0.01)
    assert taken([found]) == pytest.approx(5 / 7 * 6 / 7, abs=0.01)


def test_what_descends_from_the_campaign_is_its_own(machine):
    machine.run(Program(110, parent=DRIVER, threads=0))
    machine.run(Program(111, parent=110))
    assert sampled(machine, reader_of(machine)).foreign_cpus == pytest.approx(0.0, abs=0.01)
    machine.run(Program(112, parent=1))
    found = sampled(machine, reader_of(machine))
    assert (found.own_cpus, found.foreign_cpus) == pytest.approx((1.0, 1.0), abs=0.01)


def test_another_campaigns_nodes_are_others(machine):
    machine.run(Program(200, node="other-t1-head"))
    assert sampled(machine, reader_of(machine)).foreign_cpus == pytest.approx(1.0, abs=0.01)


def test_a_process_that_ends_or_begins_between_readings_counts_for_what_it_did_since(machine):
    old = machine.run(Program(110, parent=DRIVER, threads=0))
    old.used_s = 500.0
    machine.write()
    reader = reader_of(machine)
    before = reader.read()
    machine.end(110)
    machine.run(Program(110, parent=DRIVER, started=4800))  # the same pid, another process
    machine.advance(10)
    found = sample_between(before, reader.read())
    assert (found.own_cpus, found.foreign_cpus) == pytest.approx((1.0, 0.0), abs=0.01)


@pytest.mark.parametrize("why", ["hidden processes", "a container"])
def test_where_nodes_cant_be_seen_the_load_of_others_is_unknown(machine, why):
    machine.run(Program(400))
    if why == "hidden processes":
        machine.end(1)
    found = sampled(machine, reader_of(machine, NODES if why == "a container" else ()))
    assert found.foreign_cpus is None
    assert taken([found]) is None
    assert found.cpu == 0.0  # pressure is known all the same


def test_a_kernel_without_pressure_or_waiting_leaves_them_unknown(machine):
    start_nodes(machine)
    machine.counts_waiting = False
    machine.write()
    for name in ("cpu", "memory"):
        (machine.root / "proc" / "pressure" / name).unlink()
    machine.pressure = {"io": 0.5}
    found = sampled(machine, reader_of(machine, NODES))
    assert (found.cpu, found.memory, found.waited_s) == (None, None, None)
    assert found.io == 0.0


def test_a_pressure_file_is_read_as_linux_writes_it():
    recorded = (
        "some avg10=6.88 avg60=2.47 avg300=6.24 total=7042127281\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
    assert pressure_s(recorded) == 7042.127281
    for wrong in ("", "full avg10=0.00 avg60=0.00 avg300=0.00 total=0", "some avg10=1.0 total=x"):
        with pytest.raises(ValueError):
            pressure_s(wrong)


def test_this_machine_can_be_read():
    reader = HostReader([os.getpid()])
    found = sample_between(reader.read(), reader.read())
    assert found.cpus >= 1
    assert found.seconds > 0
    assert found.cpu is None or 0 <= found.cpu <= 1
    assert found.foreign_cpus is None or found.foreign_cpus >= 0
