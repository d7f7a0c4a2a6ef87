"""The lock of an image: its exact packages, by version and content, and how two locks differ."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from campaign.core import files
from campaign.core.errors import ImageError
from campaign.images.bundles.manifest import Sha256


class LockedPackage(BaseModel):
    """One package file, wherever it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    architecture: str
    sha256: Sha256


class Lock(BaseModel):
    """The packages of one image, sorted by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    packages: tuple[LockedPackage, ...] = ()

    @classmethod
    def of(cls, packages: Iterable[LockedPackage]) -> Self:
        """Return a lock of `packages`, in whatever order they come."""
        return cls(packages=tuple(sorted(packages, key=lambda package: package.name)))

    @property
    def versions(self) -> dict[str, str]:
        """Each package's version."""
        return {package.name: package.version for package in self.packages}

    def write(self, path: Path) -> None:
        """Write one package per line, so that a renewed lock is a readable diff."""
        lines = ",\n".join("  " + json.dumps(package.model_dump()) for package in self.packages)
        files.write_atomically(path, f'{{"packages": [\n{lines}\n]}}\n'.encode())


def read(path: Path) -> Lock:
    """Return the lock at `path`; raise ImageError if it is missing or isn't a valid one."""
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ImageError(
            f"there is no package lock {path}", "", "hpc-campaign image lock"
        ) from error
    except ValidationError as error:
        raise ImageError(
            f"{path} is not a package lock", str(error), "hpc-campaign image lock"
        ) from error


def differences(old: Lock, new: Lock) -> list[str]:
    """Return a line for each package that isn't the same file in both.

    `munge 1.0 -> 1.1` has another version, `munge 1.0 -> (none)` is gone.
    """
    before = {package.name: package for package in old.packages}
    after = {package.name: package for package in new.packages}
    return [
        _difference(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _difference(name: str, old: LockedPackage | None, new: LockedPackage | None) -> str:
    if old and new and old.version == new.version:
        return (
            f"{name} {old.version}: same version, other content ({old.sha256[:12]} -> "
            f"{new.sha256[:12]})"
        )
    return f"{name} {old.version if old else '(none)'} -> {new.version if new else '(none)'}"
