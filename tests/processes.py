"""Processes and their ports, read from /proc while processes end and descriptors close."""

import contextlib
import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil


def tree(pid: int) -> list[int]:
    """Return the process and all that is below it, as far as it still runs."""
    try:
        return [pid, *(one.pid for one in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def command_lines() -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield pid and arguments of each process but this one."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended, or is another user's
            if process.pid != os.getpid():
                yield process.pid, tuple(process.cmdline())


def environment(pid: int) -> bytes:
    """Return what a process was started with; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def listening(pids: list[int]) -> set[tuple[str, int]]:
    """Return the addresses and ports where these processes listen for TCP."""
    inodes = _sockets(pids)
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                address, _, port = fields[1].partition(":")
                found.add((_address(address), int(port, 16)))
    return found


def reached(place: tuple[str, int]) -> str:
    """Return where a client on this machine reaches one who listens there, as HOST:PORT."""
    host, port = place
    wild = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}
    return (
        f"[{host}]:{port}" if host not in wild and ":" in host else f"{wild.get(host, host)}:{port}"
    )


def abstract_sockets(pids: list[int]) -> list[str]:
    """Return the names of these processes' Unix sockets that stand in no folder, without the NUL
    in front: whoever is on the machine can connect to them."""
    inodes = _sockets(pids)
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    named = [fields for fields in lines if len(fields) > 7 and fields[7].startswith("@")]
    return sorted({one[7][1:] for one in named if f"socket:[{one[6]}]" in inodes})


def _sockets(pids: list[int]) -> set[str]:
    return {link for pid in pids for link in _descriptors(pid) if link.startswith("socket:")}


def _descriptors(pid: int) -> Iterator[str]:
    """Yield what a process has open. One that closes meanwhile is left out, and not an error."""
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return
    for link in links:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield str(link.readlink())


def _address(digits: str) -> str:
    # The kernel prints each 32 bits of an address as one number in the machine's own order.
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return str(ipaddress.ip_address(packed))
