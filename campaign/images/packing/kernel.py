"""Take a distribution's kernel package apart: the unpacked kernel, and drivers for an initramfs."""

import gzip
import lzma
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from campaign.core.errors import ImageError, command_failed

_ELF = b"\x7fELF"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD = ("zstd", "-dc", "--memory=512MB")
_XZ_MAGIC = b"\xfd7zXZ\x00"
_GZIP_MAGIC = b"\x1f\x8b\x08"
_SETUP_SECTORS = 0x1F1  # fields of the x86 boot protocol's setup header
_HEADER_MAGIC = 0x202
_PAYLOAD_OFFSET = 0x248
_PAYLOAD_LENGTH = 0x24C
# Sizes of name and entry, XEN_ELFNOTE_PHYS32_ENTRY, the name.
_PVH_NOTE = b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0"
_PVH_NOTE_64 = b"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0"
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_MODULE_SIGNED = b"~Module signature appended~\n"
# struct module_signature; its last four bytes are the signature's length
_MODULE_SIGNATURE_INFO = 12


def bootable(image: bytes) -> bytes:
    """Return the kernel file that QEMU's -kernel starts fastest.

    That is a bzImage's ELF kernel where it has a PVH entry, else `image` as it is.
    """
    if image[_HEADER_MAGIC : _HEADER_MAGIC + 4] != b"HdrS":
        return image  # of another architecture, or unpacked as it is
    unpacked = vmlinux(image)
    return unpacked if _PVH_NOTE in unpacked or _PVH_NOTE_64 in unpacked else image


def vmlinux(image: bytes) -> bytes:
    """Return the ELF kernel inside a bzImage.

    QEMU starts it by its PVH entry, so that no node spends seconds unpacking its own kernel under
    emulation. Raises ImageError if `image` isn't a bzImage or is packed in a way that we can't
    unpack.
    """
    if image[_HEADER_MAGIC : _HEADER_MAGIC + 4] != b"HdrS":
        raise ImageError("the kernel file is not an x86 bzImage", repr(image[:16]))
    start = (image[_SETUP_SECTORS] + 1) * 512 + _word(image, _PAYLOAD_OFFSET)
    # The payload's last four bytes are the unpacked size, written there by the kernel's build.
    payload = image[start : start + _word(image, _PAYLOAD_LENGTH) - 4]
    kernel = _unpack(payload)
    if not kernel.startswith(_ELF):
        raise ImageError("the kernel's payload is not an ELF file", repr(kernel[:16]))
    return kernel


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def _unpack(payload: bytes) -> bytes:
    if payload.startswith(_GZIP_MAGIC):
        return gzip.decompress(payload)
    if payload.startswith(_XZ_MAGIC):
        return lzma.decompress(payload)
    if payload.startswith(_ZSTD_MAGIC):
        return _zstd(payload)
    raise ImageError("the kernel is packed in a way we don't know", repr(payload[:16]))


def _zstd(payload: bytes) -> bytes:
    try:
        done = subprocess.run(_ZSTD, input=payload, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ImageError(
            "zstd is missing: it unpacks the guest's kernel", "", "apt-get install zstd"
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        raise ImageError(
            "zstd could not unpack the kernel", command_failed(_ZSTD, done.returncode, said)
        )
    return done.stdout


def module(data: bytes, name: str) -> bytes:
    """Return a driver as `insmod` takes it: unpacked, and without its signature.

    Checking a signature would cost each node time.
    """
    plain = lzma.decompress(data) if name.endswith(".xz") else data
    if not plain.endswith(_MODULE_SIGNED):
        return plain
    info = plain[: -len(_MODULE_SIGNED)]
    length = int.from_bytes(info[-4:], "big")
    return info[: len(info) - _MODULE_SIGNATURE_INFO - length]


def needed_modules(driver: bytes) -> list[str]:
    """Return the names of the modules that an unpacked driver depends on."""
    stated = _DEPENDS.search(driver)
    return [name for name in stated[1].decode().split(",") if name] if stated else []


def load_order(wanted: Iterable[str], load: Callable[[str], bytes]) -> dict[str, bytes]:
    """Return `wanted` modules and all that they need by name, each after what it needs.

    `load` returns a module's unpacked file.
    """
    order: dict[str, bytes] = {}

    def visit(name: str) -> None:
        if name in order:
            return
        driver = load(name)
        for needed in needed_modules(driver):
            visit(needed)
        order[name] = driver

    for name in wanted:
        visit(name)
    return order


def module_name(path: Path) -> str:
    """Return a module's name as in the kernel: `.../virtio-rng.ko.xz` is `virtio_rng`."""
    return path.name.split(".")[0].replace("-", "_")
