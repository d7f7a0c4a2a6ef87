"""Deadlines for calls that know none: what they come to, in time, too late, or never."""

import subprocess
import sys
import threading
from queue import Queue

import pytest

from actors.hypervisor.connection import _pull_plug
from actors.hypervisor.timeout import with_timeout


def test_what_comes_in_time_is_handed_on():
    def fail():
        raise OSError("refused")

    assert with_timeout(20, lambda: 7) == 7
    with pytest.raises(OSError, match="refused"):
        with_timeout(20, fail)


def test_what_comes_too_late_is_told_to_who_can_undo_it():
    come = threading.Event()
    late = Queue()

    def call():
        come.wait(20)
        return "a guest"

    with pytest.raises(TimeoutError, match=r"no answer within 0.1 s"):
        with_timeout(0.1, call, on_late=late.put)
    assert late.empty()
    come.set()
    assert late.get(timeout=20) == "a guest"


def emulator(uuid):
    """Something that runs with the arguments of a guest's QEMU."""
    named = ("-name", "guest=twin,debug-threads=on", "-uuid", uuid)
    return subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()", *named], stdin=-1, stdout=-1
    )


def test_another_guest_of_the_same_name_is_left_alone():
    wanted = emulator("1111")
    other = emulator("2222")
    try:
        assert wanted.stdout.readline() and other.stdout.readline()
        reaper = threading.Thread(target=wanted.wait)  # as libvirtd would
        reaper.start()
        assert _pull_plug("twin", "1111")
        reaper.join(20)
        assert wanted.poll() is not None and other.poll() is None
        assert not _pull_plug("twin", "1111")
    finally:
        for one in (wanted, other):
            one.kill()
            one.communicate()
