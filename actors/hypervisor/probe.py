"""Finds out whether hardware virtualization works here.

Only booting something tells: a KVM that opens and makes VMs may still hang every guest at its first
instruction. So the image's own kernel is started under KVM and its console is watched.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from actors.hypervisor.console import clean
from actors.hypervisor.process import boot_id
from campaign.core import files

_DEVICE = Path("/dev/kvm")
_TIMEOUT_S = 8.0
# Printed at the end of a kernel's own start: it has then used all that a guest needs.
_ALIVE = re.compile(r"Freeing unused kernel|Run /init as init process")
_MEMORY_MIB = 512


@dataclass(frozen=True)
class Acceleration:
    """How guests are to run on this machine, and why."""

    kind: Literal["kvm", "tcg"]
    reason: str


def acceleration(
    kernel: Path,
    initrd: Path,
    cache_dir: Path,
    *,
    device: Path = _DEVICE,
    timeout_s: float = _TIMEOUT_S,
) -> Acceleration:
    """Return KVM if `kernel` comes up under it within `timeout_s`, else TCG (software emulation).

    What a boot has shown is remembered in `cache_dir` until this machine is booted again or the
    kernel changes.
    """
    refusal = _refusal(device)
    if refusal:
        return Acceleration("tcg", refusal)
    memory = cache_dir / f"kvm-{_key(kernel)}.json"
    known = _recall(memory)
    if known is None:
        known = acceleration_seen(*_console_under_kvm(kernel, initrd, timeout_s), timeout_s)
        _remember(memory, known)
    return known


def acceleration_seen(console: str, error: str, timeout_s: float) -> Acceleration:
    """Return what a guest's console under KVM, and QEMU's standard error, tell about KVM."""
    text = clean(console)
    if _ALIVE.search(text):
        return Acceleration("kvm", "the image's kernel boots under KVM")
    if error.strip():
        return Acceleration("tcg", f"QEMU can't use KVM: {error.strip().splitlines()[-1]}")
    last = next((line for line in reversed(text.splitlines()) if line.strip()), None)
    seen = f"its console stops at {last.strip()[:80]!r}" if last else "its console stays silent"
    return Acceleration(
        "tcg",
        f"/dev/kvm exists, but the image's kernel hangs under KVM: {seen} for {timeout_s:g} s",
    )


def _refusal(device: Path) -> str | None:
    if not device.exists():
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be opened by this user (is the user in the group kvm?)"
    if shutil.which("qemu-system-x86_64") is None:
        return "there is no qemu-system-x86_64 to try KVM with"
    return None


def _console_under_kvm(kernel: Path, initrd: Path, timeout_s: float) -> tuple[str, str]:
    """Boot the kernel under KVM; return its console, and QEMU's standard error."""
    # timeout(1) ends a hung QEMU even if we are killed meanwhile.
    command = ["timeout", "--signal=KILL", f"{timeout_s + 5:g}"]
    command += ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-machine", "pc"]
    command += f"-m {_MEMORY_MIB} -nodefaults -no-user-config -no-reboot".split()
    command += ["-display", "none", "-serial", "stdio"]
    command += ["-kernel", str(kernel), "-initrd", str(initrd)]
    # panic=-1 reboots at once and -no-reboot makes that QEMU's end, so a panic needn't be waited
    # out. earlyprintk shows where a kernel hangs that never reaches its console.
    command += ["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"]
    # Files and not pipes: a pipe that nobody empties would stop QEMU when it is full.
    with tempfile.TemporaryFile() as console, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=errors, start_new_session=True
        )
        try:
            _wait_until_alive(process, console, timeout_s)
        finally:
            _kill_group(process)
        return _text(console), _text(errors)


def _wait_until_alive(
    process: "subprocess.Popen[bytes]", console: IO[bytes], timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while (
        time.monotonic() < deadline and process.poll() is None and not _ALIVE.search(_text(console))
    ):
        time.sleep(0.05)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    # The group of timeout(1) and QEMU exists at least until its leader has been waited for.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _text(file: IO[bytes]) -> str:
    # Read apart from the position at which the writer goes on.
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


def _key(kernel: Path) -> str:
    # By this boot of this machine, and the kernel's bytes.
    digest = hashlib.sha256(boot_id().encode())
    digest.update(kernel.read_bytes())
    return digest.hexdigest()[:16]


def _recall(memory: Path) -> Acceleration | None:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        if known["kind"] in ("kvm", "tcg"):
            return Acceleration(known["kind"], str(known["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never asked, or the note is damaged: ask again
    return None


def _remember(memory: Path, known: Acceleration) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    # What a power cut loses is found out again.
    files.write_atomically(memory, json.dumps(asdict(known)), durable=False)
