"""Write a cpio archive (newc) whose bytes depend on nothing but the files in it."""

from collections.abc import Iterable
from dataclasses import dataclass

DIRECTORY = 0o040755
FILE = 0o100644
PROGRAM = 0o100755
SYMLINK = 0o120777


@dataclass(frozen=True)
class CpioEntry:
    """One member of an archive.

    Its path has no leading slash, its mode has the type bits; a symbolic link's content is its
    target.
    """

    path: str
    mode: int
    data: bytes = b""


def archive(entries: Iterable[CpioEntry]) -> bytes:
    """Pack `entries` in the given order, owned by root and dated 1970.

    Parents must come before their children.
    """
    members = [_member(number, entry) for number, entry in enumerate(entries, start=1)]
    return b"".join([*members, _member(0, CpioEntry("TRAILER!!!", 0))])


def _member(number: int, entry: CpioEntry) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if entry.mode == DIRECTORY else 1
    # inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name's length,
    # checksum
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
