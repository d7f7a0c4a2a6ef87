"""Does hardware virtualization work here? Only booting something tells: a KVM that opens and makes
VMs may still hang every guest at its first instruction. So the image's own kernel is started under
KVM and its console is watched."""

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

_DEVICE = Path("/dev/kvm")
_SECONDS = 8.0
# Printed at the end of a kernel's own start: it has then run on all of what a guest needs.
_ALIVE = re.compile(r"Freeing unused kernel|Run /init as init process")
_MEMORY_MIB = 512


@dataclass(frozen=True)
class Acceleration:
    """How guests are to run here, and how we know."""

    kind: Literal["kvm", "tcg"]
    reason: str


def acceleration(
    kernel: Path,
    initrd: Path,
    cache_dir: Path,
    *,
    device: Path = _DEVICE,
    seconds: float = _SECONDS,
) -> Acceleration:
    """KVM if `kernel` comes up under it within `seconds`, else TCG (software emulation) and why.

    The answer of a boot is remembered in `cache_dir` until this machine is booted again or the
    kernel changes.
    """
    refusal = _refusal(device)
    if refusal:
        return Acceleration("tcg", refusal)
    memory = cache_dir / f"kvm-{_key(kernel)}.json"
    known = _recall(memory)
    if known is None:
        known = judge(*_console_under_kvm(kernel, initrd, seconds), seconds)
        _remember(memory, known)
    return known


def judge(console: str, error: str, seconds: float) -> Acceleration:
    """What the console of a guest under KVM, and what QEMU said on stderr, tell about KVM."""
    text = clean(console)
    if _ALIVE.search(text):
        return Acceleration("kvm", "the image's kernel boots under KVM")
    if error.strip():
        return Acceleration("tcg", f"QEMU can't use KVM: {error.strip().splitlines()[-1]}")
    last = next((line for line in reversed(text.splitlines()) if line.strip()), None)
    seen = f"its console stops at {last.strip()[:80]!r}" if last else "its console stays silent"
    return Acceleration(
        "tcg", f"/dev/kvm exists, but the image's kernel hangs under KVM: {seen} for {seconds:g} s"
    )


def _refusal(device: Path) -> str | None:
    if not device.exists():
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be opened by this user (is the user in the group kvm?)"
    if shutil.which("qemu-system-x86_64") is None:
        return "there is no qemu-system-x86_64 to try KVM with"
    return None


def _console_under_kvm(kernel: Path, initrd: Path, seconds: float) -> tuple[str, str]:
    """Boot the kernel under KVM for at most `seconds`; its console, and QEMU's stderr."""
    # timeout(1) ends a hung QEMU even if we are killed meanwhile.
    command = [
        "timeout",
        "--signal=KILL",
        f"{seconds + 5:g}",
        "qemu-system-x86_64",
        "-accel",
        "kvm",
        "-cpu",
        "host",
    ]
    command += [
        "-machine",
        "pc",
        "-m",
        str(_MEMORY_MIB),
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
    ]
    command += [
        "-display",
        "none",
        "-serial",
        "stdio",
        "-kernel",
        str(kernel),
        "-initrd",
        str(initrd),
    ]
    command += ["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"]
    with tempfile.TemporaryFile() as console, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=errors, start_new_session=True
        )
        try:
            _wait_until_alive(process, console, seconds)
        finally:
            _kill_group(process)
        return _text(console), _text(errors)


def _wait_until_alive(
    process: "subprocess.Popen[bytes]", console: IO[bytes], seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    while (
        time.monotonic() < deadline and process.poll() is None and not _ALIVE.search(_text(console))
    ):
        time.sleep(0.05)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End timeout(1) and QEMU; the group exists at least until its leader has been waited for."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _text(file: IO[bytes]) -> str:
    """All that was written so far, read apart from the writer's position."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


def _key(kernel: Path) -> str:
    """This boot of this machine, and the kernel's bytes."""
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
    draft = memory.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(asdict(known)), encoding="utf-8")
    draft.replace(memory)
