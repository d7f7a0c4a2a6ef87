"""Runs the programs that build an image, and turns each way they fail into an ImageError."""

import errno
import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from campaign.core.errors import ImageError, command_failed

# Not on every user's PATH, and mkfs.erofs may live there.
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
BUILD_SPACE = 1500 * 2**20  # bytes; a build's peak: packages, the unpacked guest, the packed one


@dataclass(frozen=True)
class Tool:
    """A program that building needs, and the Debian package it comes in."""

    program: str
    package: str
    purpose: str


NEEDED = (
    Tool("apt-get", "apt", "chooses and downloads the guest's packages"),
    Tool("dpkg-deb", "dpkg", "unpacks the guest's kernel package"),
    Tool("mkfs.erofs", "erofs-utils", "packs the guest's root file system"),
    Tool("mmdebstrap", "mmdebstrap", "installs the guest's packages"),
    Tool("zstd", "zstd", "unpacks the guest's kernel"),
)
_NEEDED_WITHOUT_ROOT = (
    Tool(
        "newuidmap", "uidmap", "lends a user the guest's user ids while its packages are installed"
    ),
)


def search_path() -> str:
    """Return PATH with the system's administration folders."""
    return f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}"


def needed_tools() -> tuple[Tool, ...]:
    """Return the programs that this user needs."""
    return NEEDED if os.geteuid() == 0 else NEEDED + _NEEDED_WITHOUT_ROOT


def missing_tools() -> list[Tool]:
    """Return the needed programs that this machine lacks."""
    return [
        tool for tool in needed_tools() if shutil.which(tool.program, path=search_path()) is None
    ]


def install_command(tools: Sequence[Tool]) -> str:
    """Return the command that installs `tools`."""
    return "apt-get install --no-install-recommends " + " ".join(
        sorted({tool.package for tool in tools})
    )


def require_tools() -> None:
    """Raise ImageError if programs are missing.

    It names each of them, and the one command that installs all.
    """
    missing = missing_tools()
    if missing:
        what = "\n".join(f"{tool.program}: {tool.purpose}" for tool in missing)
        names = ", ".join(tool.program for tool in missing)
        raise ImageError(
            f"building an image needs {names}", what, f"as root: {install_command(missing)}"
        )


def require_namespace() -> None:
    """Raise ImageError if this user can't use the guest's user ids; root always can."""
    try:
        run([*as_root(), "true"])
    except ImageError as error:
        raise ImageError(
            "without root, building an image needs user namespaces and subordinate user ids",
            error.details,
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
            f"{getpass.getuser()}",
        ) from error


def require_space(folder: Path) -> None:
    """Raise ImageError if the disk of `folder` has no room for a build."""
    free = shutil.disk_usage(folder).free
    if free < BUILD_SPACE:
        raise _disk_full(folder, f"building needs about {BUILD_SPACE >> 20} MiB")


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError inside into an ImageError, which says how full a full disk is."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(folder, str(error)) from error
        raise ImageError(f"can't write an image in {folder}", str(error)) from error


def run(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    ImageError with the last lines it wrote if it fails; `folder` is where it writes, to be named
    when the disk is full.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": search_path(), **(env or {})}
    try:
        done = subprocess.run(
            arguments,
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ImageError(
            f"{arguments[0]} is missing", "", f"as root: {_package_command(arguments[0])}"
        ) from error
    if done.returncode:
        raise _failed(arguments, done, folder)
    return done.stdout.decode(errors="replace")


def as_root() -> list[str]:
    """Return the beginning of a command that is to run as root; empty for root.

    Anyone else becomes the root of a user namespace. That root is the user itself, and can enter a
    home that is its user's alone, which mmdebstrap's own way without root can't. The process and
    network namespaces let it mount a guest's /proc and /sys.
    """
    if os.geteuid() == 0:
        return []
    return [
        "unshare",
        "--map-root-user",
        "--map-auto",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--net",
    ]


def remove_tree(folder: Path) -> None:
    """Remove `folder` as far as that is possible.

    That includes files which a killed build without root left to other user ids.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        subprocess.run([*as_root(), "rm", "-rf", str(folder)], capture_output=True, check=False)


def version(program: str) -> str:
    """Return the first version in the output of `program --version`; empty if there is none.

    The exit status doesn't count: some programs print their version and don't know the option.
    """
    done = subprocess.run(
        [program, "--version"],
        env={**os.environ, "PATH": search_path()},
        capture_output=True,
        check=False,
    )
    found = re.search(rb"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0].decode() if found else ""


def _failed(
    arguments: Sequence[str], done: "subprocess.CompletedProcess[bytes]", folder: Path | None
) -> ImageError:
    text = (done.stdout + done.stderr).decode(errors="replace")
    details = command_failed(arguments, done.returncode, text)
    if os.strerror(errno.ENOSPC) in text:
        return _disk_full(folder or Path("/tmp"), details)  # noqa: S108  # named, not written to
    return ImageError(f"{arguments[0]} failed", details)


def _disk_full(folder: Path, details: str) -> ImageError:
    free = shutil.disk_usage(folder).free >> 20
    return ImageError(
        f"the disk of {folder} is full: {free} MiB free",
        details,
        "free some space (unused images: hpc-campaign image gc) or move the image store",
    )


def _package_command(program: str) -> str:
    known = [tool for tool in needed_tools() if tool.program == program]
    return install_command(known) if known else f"install {program}"
