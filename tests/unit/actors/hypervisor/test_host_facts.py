"""A host's ports, memory and CPUs; the consoles of its guests; and whether KVM works on it."""

import os
import pickle
import socket
import stat
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.hypervisor import capacity
from actors.hypervisor.capacity import Capacity, Resources, node_resources, read_host
from actors.hypervisor.console import clean, console_tail, kernel_fault
from actors.hypervisor.errors import NotEnoughPorts
from actors.hypervisor.ports import free_ports
from actors.hypervisor.probe import acceleration, acceleration_seen
from campaign.core.errors import CapacityError


def listen(stack: ExitStack, port: int = 0) -> int:
    server = stack.enter_context(socket.socket())
    server.bind(("127.0.0.1", port))
    server.listen()
    return server.getsockname()[1]


def consecutive_free(count: int) -> int:
    """The first of `count` free ports in a row."""
    for first in range(29000, 31000):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    listen(stack, port)
            except OSError:
                continue
            return first
    pytest.skip("no free ports in a row on this machine")


def test_ports_that_somebody_listens_on_are_passed_over():
    first = consecutive_free(4)
    with ExitStack() as stack:
        listen(stack, first + 1)
        assert free_ports(2, range(first, first + 4)) == (first, first + 2)
    assert free_ports(2, range(first, first + 4)) == (first, first + 1)


def test_promised_ports_are_passed_over():
    first = consecutive_free(3)
    assert free_ports(2, range(first, first + 3), reserved={first}) == (first + 1, first + 2)


def test_too_few_ports_name_the_range_and_who_is_in_the_way():
    first = consecutive_free(2)
    with ExitStack() as stack:
        listen(stack, first)
        with pytest.raises(NotEnoughPorts) as error:
            free_ports(2, range(first, first + 2))
    assert f"{first}..{first + 1}" in error.value.brief
    assert str(first) in error.value.details
    assert isinstance(pickle.loads(pickle.dumps(error.value)), CapacityError)


def test_an_empty_range_has_no_ports():
    with pytest.raises(NotEnoughPorts):
        free_ports(1, range(5000, 5000))
    assert free_ports(0, range(5000, 5000)) == ()


NODE = node_resources(vcpus=2, memory_mib=512, tb_cache_mib=128, acceleration="tcg")


def test_a_nodes_memory_includes_the_emulators():
    assert NODE.memory_mib > 512 + 128
    assert (
        node_resources(vcpus=2, memory_mib=512, tb_cache_mib=128, acceleration="kvm").memory_mib
        < NODE.memory_mib
    )


def test_what_fits_exactly_fits_and_one_more_does_not():
    capacity = Capacity(NODE * 3)
    assert capacity.fits(NODE * 3) is None
    shortfall = capacity.fits(NODE * 4)
    assert set(shortfall.short) == {"memory_mib", "vcpus", "ports", "disk_mib"}


def test_a_shortfall_says_what_is_needed_and_what_is_there():
    capacity = Capacity(Resources(memory_mib=4000, vcpus=3, ports=10, disk_mib=100)).reserve(NODE)
    shortfall = capacity.fits(NODE)
    assert shortfall.short == ("vcpus",)
    assert str(shortfall) == "2 vCPUs are needed, 1 are free"


def test_what_is_given_back_is_free_again():
    capacity = Capacity(NODE * 2)
    assert capacity.reserve(NODE).release(NODE) == capacity


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine's files with 8 GiB available, in a cgroup below a limited one."""
    memory = SimpleNamespace(total=16 * 2**30, available=8 * 2**30)
    monkeypatch.setattr(capacity.psutil, "virtual_memory", lambda: memory)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("1:name=x:/\n0::/outer/inner\n")
    (tmp_path / "sys/fs/cgroup/outer/inner").mkdir(parents=True)
    return tmp_path


def test_the_host_offers_its_available_memory_less_what_is_kept(machine):
    host = read_host(machine / "not/there/yet", ports=7, memory_kept_mib=1024, root=machine)
    assert host.memory_mib == 8192 - 1024
    assert host.vcpus == 2 * len(os.sched_getaffinity(0))
    assert host.cpus == len(os.sched_getaffinity(0))
    assert host.ports == 7
    assert host.disk_mib > 0


def test_limits_of_an_outer_cgroup_count(machine):
    outer = machine / "sys/fs/cgroup/outer"
    (outer / "memory.max").write_text(f"{3 << 30}\n")
    (outer / "memory.current").write_text(f"{1 << 30}\n")
    (outer / "cpu.max").write_text("50000 100000\n")
    (outer / "inner/memory.max").write_text("max\n")
    (outer / "inner/cpu.max").write_text("max 100000\n")
    host = read_host(machine, ports=1, memory_kept_mib=0, vcpus_per_cpu=4, root=machine)
    assert host.memory_mib == 2048
    assert host.vcpus == 2


PANIC = (
    "[    1.808515] Kernel panic - not syncing: VFS: Unable to mount root fs on "
    "unknown-block(0,0)\r\n"
)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (PANIC, "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"),
        (
            "[   27.001] BUG: unable to handle page fault for address: ffff\n",
            "BUG: unable to handle page fault",
        ),
        ("[  301.5][  T123] Oops: 0000 [#1] PREEMPT SMP PTI\n", "Oops: 0000"),
        (
            "[  301.5] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [slurmd:310]\n",
            "watchdog: BUG: soft lockup",
        ),
        (
            "\x1b[0;32m[    2.1] general protection fault, probably for\x1b[0m\n",
            "general protection fault",
        ),
    ],
)
def test_a_failing_kernel_is_recognised(line, found):
    assert kernel_fault("[    0.1] Linux version 6.12\n" + line + "[  400.0] more\n").startswith(
        found
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[    0.1] Linux version 6.12\n",
        "echo Kernel panic - not syncing\n",
        "[  OK  ] Started panic.service - Kernel panic handler.\n",
        "[    0.2] Command line: console=ttyS0 panic=-1 oops=panic\n",
    ],
)
def test_talk_of_panics_is_none(text):
    assert kernel_fault(text) is None


def test_a_console_tail_is_the_last_lines_without_control_codes(tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(b"x" * 200_000 + b"\r\none\r\n\x1b[1;31mtwo\x1b[0m\r\n\xff three")
    assert console_tail(log, 3) == "one\ntwo\n\ufffd three"
    assert console_tail(tmp_path / "none") == ""
    assert "\x1b" not in clean("\x1b[2J\x1b[Hboot")


def test_a_kernel_that_comes_up_means_kvm():
    answer = acceleration_seen(
        "[    0.0] Linux version\r\n[    0.6] Freeing unused kernel image (initmem) memory: 2K\r\n",
        "",
        8,
    )
    assert answer.kind == "kvm"


@pytest.mark.parametrize(
    ("console", "error", "said"),
    [
        ("", "", "silent"),
        ("Probing EDD (edd=off to disable)... ok\r\n", "", "Probing EDD"),
        ("", "qemu: could not access KVM kernel module\n", "could not access KVM"),
    ],
)
def test_a_kernel_that_hangs_means_tcg_and_why(console, error, said):
    answer = acceleration_seen(console, error, 8)
    assert answer.kind == "tcg"
    assert said in answer.reason


def test_without_the_device_nothing_is_booted(tmp_path):
    answer = acceleration(
        tmp_path / "no-kernel", tmp_path / "no-initrd", tmp_path, device=tmp_path / "kvm"
    )
    assert answer.kind == "tcg"
    assert "there is no" in answer.reason


@pytest.fixture
def qemu(tmp_path, monkeypatch):
    """Puts a program in QEMU's place; gives the folder in which each of its runs leaves its pid."""

    def install(script: str):
        program = tmp_path / "bin" / "qemu-system-x86_64"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        for name in ("kernel", "initrd", "device"):
            (tmp_path / name).write_bytes(b"x")
        return lambda: acceleration(
            tmp_path / "kernel",
            tmp_path / "initrd",
            tmp_path / "cache",
            device=tmp_path / "device",
            timeout_s=0.5,
        )

    return install


def test_a_hung_qemu_is_ended_for_sure(qemu, tmp_path):
    answer = qemu("trap '' TERM INT HUP\necho 'early text'\nwhile :; do sleep 0.1; done")()
    assert (answer.kind, "early text" in answer.reason) == ("tcg", True)
    (pid,) = map(int, (tmp_path / "pids").read_text().split())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


def test_the_answer_is_remembered_until_the_kernel_changes(qemu, tmp_path):
    ask = qemu("echo '[    0.6] Run /init as init process'")
    assert [ask().kind, ask().kind] == ["kvm", "kvm"]
    assert len((tmp_path / "pids").read_text().split()) == 1
    (tmp_path / "kernel").write_bytes(b"another")
    ask()
    assert len((tmp_path / "pids").read_text().split()) == 2


def test_a_damaged_note_is_asked_again(qemu, tmp_path):
    ask = qemu("echo '[    0.6] Run /init as init process'")
    ask()
    (note,) = (tmp_path / "cache").iterdir()
    note.write_text('{"kind": "xen"')
    assert ask().kind == "kvm"
