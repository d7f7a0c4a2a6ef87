"""Pack a guest's root file system for both builders: uncompressed, with equal bytes each time."""

from pathlib import Path

PROGRAM = "mkfs.erofs"
# Of every root file system: a random one would change the bytes.
_UUID = "6f2d9c1e-0d8b-4c53-9c5e-5a7d0b1c2e3f"
ALIGNMENT = 2 << 20
"""QEMU maps files as a guest's memory whose sizes are multiples of this."""
_NOT_PACKED = r"^(dev|proc|run|sys|tmp)/.*$"


def command(target: Path, epoch: int) -> list[str]:
    """Return the command that writes `target`, with all files dated `epoch` (Unix seconds).

    The folder to pack must be added. Nothing is compressed: unpacking pages costs an emulated node
    more than a second until SSH answers.
    """
    return [
        PROGRAM,
        "-d1",
        "-x-1",
        f"-T{epoch}",
        f"-U{_UUID}",
        f"--exclude-regex={_NOT_PACKED}",
        str(target),
    ]


def pad(target: Path) -> None:
    """Lengthen the packed `target` by zeros, so that QEMU can map it as memory of a guest."""
    with target.open("r+b") as file:
        file.truncate(-(-target.stat().st_size // ALIGNMENT) * ALIGNMENT)
