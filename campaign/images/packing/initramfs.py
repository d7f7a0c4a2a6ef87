"""Build the guest's initramfs: busybox, one script, and the drivers of its root disk."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from campaign.core.errors import ImageError
from campaign.images.packing import cpio, kernel

_DIRECTORIES = ("bin", "dev", "lower", "modules", "proc", "ram", "root", "run", "sys")
_APPLETS = ("sh", "mount", "insmod", "mkdir", "sleep", "poweroff", "switch_root")


def build(
    *,
    busybox: bytes,
    init: bytes,
    modules: Mapping[str, bytes],
    memory_modules: Mapping[str, bytes],
) -> bytes:
    """Return a newc archive; `modules` are unpacked drivers by name, in the order of loading.

    `memory_modules` are loaded after them where the root file system is memory that QEMU maps.
    """
    return cpio.archive(
        [
            *(cpio.CpioEntry(name, cpio.DIRECTORY) for name in _DIRECTORIES),
            cpio.CpioEntry("bin/busybox", cpio.PROGRAM, busybox),
            *(cpio.CpioEntry(f"bin/{name}", cpio.SYMLINK, b"busybox") for name in _APPLETS),
            cpio.CpioEntry("init", cpio.PROGRAM, init),
            cpio.CpioEntry("modules/order", cpio.FILE, _order(modules)),
            cpio.CpioEntry("modules/memory", cpio.FILE, _order(memory_modules)),
            *(
                cpio.CpioEntry(f"modules/{name}.ko", cpio.FILE, data)
                for name, data in {**modules, **memory_modules}.items()
            ),
        ]
    )


def _order(modules: Iterable[str]) -> bytes:
    return "".join(f"{name}.ko\n" for name in modules).encode()


def drivers(tree: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Read `wanted` drivers and what they need, by name, in the order of loading.

    `tree` is the kernel's /usr/lib/modules/VERSION. Raises ImageError, which names a module that
    the kernel doesn't have (it may be built in).
    """
    paths = {kernel.module_name(path): path for path in tree.rglob("*.ko*")}

    def load(name: str) -> bytes:
        if name not in paths:
            raise ImageError(f"the guest's kernel has no module {name!r}", str(tree))
        return kernel.module(paths[name].read_bytes(), paths[name].name)

    return kernel.load_order(wanted, load)
