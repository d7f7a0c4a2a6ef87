"""Builds the guest's initramfs: busybox, one script, and the few drivers that lie between the kernel and its root disk."""

from collections.abc import Iterable
from pathlib import Path

from campaign.images import cpio, kernel

_DIRECTORIES = ("bin", "dev", "lower", "modules", "proc", "ram", "root", "sys")
_APPLETS = ("sh", "mount", "insmod", "mkdir", "sleep", "poweroff", "switch_root")


def build(*, busybox: bytes, init: bytes, modules: Iterable[tuple[str, bytes]]) -> bytes:
    """A newc archive; `modules` are (name, unpacked driver) in the order in which they are loaded."""
    drivers = list(modules)
    order = "".join(f"{name}\n" for name, _ in drivers).encode()
    return cpio.archive(
        [
            *(cpio.Entry(name, cpio.DIRECTORY) for name in _DIRECTORIES),
            cpio.Entry("bin/busybox", cpio.PROGRAM, busybox),
            *(cpio.Entry(f"bin/{name}", cpio.SYMLINK, b"busybox") for name in _APPLETS),
            cpio.Entry("init", cpio.PROGRAM, init),
            cpio.Entry("modules/order", cpio.FILE, order),
            *(cpio.Entry(f"modules/{name}", cpio.FILE, data) for name, data in drivers),
        ]
    )


def drivers(tree: Path, wanted: Iterable[str]) -> list[tuple[str, bytes]]:
    """Read `wanted` drivers and what they need from `tree` (/usr/lib/modules/VERSION), in loading order."""
    dependencies = kernel.parse_dependencies((tree / "modules.dep").read_text())
    paths = kernel.load_order(dependencies, wanted)
    return [(f"{kernel.module_name(path)}.ko", kernel.module((tree / path).read_bytes(), path)) for path in paths]
