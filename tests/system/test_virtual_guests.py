"""Guests in virtual time under a real libvirt: they do their tasks, halt, are saved and go on."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from actors.hosts.slot import NodeBoot, NodeShape
from actors.hypervisor.node_spec import MAPPED_ALIGNMENT
from actors.hypervisor.reaper import reap
from campaign.guest.task import GuestCommand, GuestTask, pack, unpack
from tests.system.conftest import processes_naming
from tests.system.trials import host_on

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

SHAPE = NodeShape(1, 512, "virtual")
MACS = ("52:54:00:99:00:01", "52:54:00:99:00:02")
PATIENCE_S = 600
HOUR = "date +%s; cat /proc/sys/kernel/random/uuid; sleep 3600; date +%s; hostname"
WAKES = """python3 -c '
import time
for _ in range(6000):
    time.sleep(0.003)
    print(time.monotonic_ns())'"""
FOREVER = "while :; do sleep 1; done"


@pytest.fixture(scope="module")
def image(bundle):
    if bundle.root.stat().st_size % MAPPED_ALIGNMENT:
        pytest.skip("cannot run here: the store's image was built before roots could be mapped")
    return bundle


@pytest.fixture(scope="module")
def host(tmp_path_factory, image):
    with host_on(tmp_path_factory.mktemp("virtual"), image) as opened:
        yield opened


def boot(image, number, command):
    checks = (GuestCommand("said", ("bash", "-c", command), timeout_s=1e6),)
    return NodeBoot("head", image, MACS, {}, pack(GuestTask(checks=checks)), number)


@contextmanager
def slot_on(host, name):
    slot = host.acquire(name, 1, SHAPE, campaign="test", expires=int(time.time() + 2 * PATIENCE_S))
    try:
        yield slot
    finally:
        host.release(slot)


def state(host, slot):
    return host.states(slot, ["head"])[0]


def wait_for(host, slot, what):
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, state(host, slot)
        time.sleep(0.2)


def halted(host, slot):
    """What the guest had to say when it has halted."""
    wait_for(host, slot, lambda: state(host, slot).state != "running")
    assert state(host, slot).state == "halted", state(host, slot)
    said = host.progress(slot, "head")
    assert said.state == "done"
    result = unpack(host.result(slot, "head"), GuestTask())
    assert (result.number, result.reason) == (said.number, "ok"), result
    return result.outputs["said"].split()


@contextmanager
def busy(programs):
    """So many programs that each want a CPU."""
    burn = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(burn) for _ in range(programs)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def emulator(slot):
    """The process of the slot's guest."""
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"guest={slot.cluster}-head,debug-threads=on" in (process.info["cmdline"] or [])
    ]
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def first(host, image):
    """A guest that was booted, did its task, halted and was saved; what it said, and the golden."""
    key = host.snapshot_key({"image": image.hash}, SHAPE)
    with slot_on(host, "first") as slot:
        host.start_recorded(slot, [boot(image, 0, HOUR)], key)
        said = halted(host, slot)
        golden = host.save(slot, ["head"], {})
        assert state(host, slot).state == "halted"
    return said, golden


def test_an_hour_passes_in_a_moment_and_every_boot_is_the_same(host, image, first):
    said, _ = first
    began, _, ended, _ = said
    assert int(ended) - int(began) == 3600
    assert int(began) - 1_893_456_000 < 600
    with slot_on(host, "second") as slot:
        begun = time.monotonic()
        host.start(slot, [boot(image, 0, HOUR)])
        assert halted(host, slot) == said
        assert time.monotonic() - begun < 3600


def test_a_saved_guest_goes_on_with_its_next_task_every_time_alike(host, image, first):
    said, golden = first
    found = []
    for name in ("third", "fourth"):
        with slot_on(host, name) as slot:
            host.restore(slot, [boot(image, 1, HOUR)], golden)
            assert state(host, slot).state == "paused"
            assert host.progress(slot, "head") is None
            host.resume(slot, ["head"])
            found.append(halted(host, slot))
    assert found[0] == found[1]
    assert 0 <= int(found[0][0]) - int(said[2]) < 600
    assert found[0][1] != said[1]


def test_a_guest_can_be_watched_without_being_disturbed(host, image, first):
    """Asked all the time, it says of itself what it does, and comes to the same."""
    _, golden = first
    asked = "date +%s; cat /proc/sys/kernel/random/uuid; sleep 60; date +%s"
    found = []
    for name, pause_s in (("watched", 0.0), ("alone", 1.0)):
        with slot_on(host, name) as slot:
            host.restore(slot, [boot(image, 1, asked)], golden)
            host.resume(slot, ["head"])
            seen = set()
            while state(host, slot).state == "running":
                if said := host.progress(slot, "head"):
                    seen.add((said.number, said.state))
                time.sleep(pause_s)
            assert seen <= {(1, "running"), (1, "done")}
            found.append(halted(host, slot))
    assert found[0] == found[1]


def test_a_guest_wakes_at_the_same_nanoseconds_beside_busy_programs(host, image, first):
    _, golden = first
    found = []
    for name, programs in (("calm", 0), ("pressed", 4), ("pressed-more", 8)):
        with busy(programs), slot_on(host, name) as slot:
            host.restore(slot, [boot(image, 1, WAKES)], golden)
            host.resume(slot, ["head"])
            found.append(halted(host, slot))
    assert len(found[0]) == 6000
    assert found[0] == found[1] == found[2]


def test_a_guest_whose_emulator_is_killed_is_gone_and_leaves_nothing(host, image):
    with slot_on(host, "killed") as slot:
        host.start(slot, [boot(image, 0, FOREVER)])
        wait_for(host, slot, lambda: host.progress(slot, "head") is not None)
        assert host.progress(slot, "head").state == "running"
        os.kill(emulator(slot).pid, signal.SIGKILL)
        wait_for(host, slot, lambda: state(host, slot).state != "running")
        assert state(host, slot).state == "gone"
        folder = host._folder(slot, "head").path
        assert folder.exists()
    assert not folder.exists()
    assert host._hypervisor.ours() == []
    assert processes_naming(str(folder)) == []


def test_a_halted_guest_is_ended_like_any_other(host, image, first):
    """By its slot's release, and by the reaper when its lease is over."""
    _, golden = first
    with slot_on(host, "halted") as slot:
        host.restore(slot, [boot(image, 1, "true")], golden)
        host.resume(slot, ["head"])
        halted(host, slot)
        folder = host._folder(slot, "head").path
        reaped = reap(host._hypervisor, host._run_root, now=slot.lease.expires + 1)
        assert (reaped.domains, reaped.folders) == (("halted-head",), (folder,))
        assert state(host, slot).state == "gone"
