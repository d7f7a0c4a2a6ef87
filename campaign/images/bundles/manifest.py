"""Image bundles: three files that a node boots from, and the manifest that describes them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from campaign.core.errors import ImageError

MANIFEST = "manifest.json"
KERNEL = "kernel"
INITRD = "initrd"
ROOT = "root.erofs"
PARTS = (INITRD, KERNEL, ROOT)

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class FileFact(BaseModel):
    """A file's content hash (sha256, hexadecimal) and its size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Sha256
    size: int = Field(ge=0)

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read and hash the file at `path`; OSError if it can't be read."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return cls(sha256=digest.hexdigest(), size=file.tell())


class ImageRecipe(BaseModel):
    """The ingredients of a bundle, as one name.

    Equal recipes may give other bytes, which the bundle's hash tells apart. `id` is the bundle's
    path in the Nix store, which is a hash of all that it is built from; or `debian:` and the
    SHA-256 of specification, packages and third-party files. `derivation` and the revisions are
    Nix's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    derivation: str = ""
    flake_rev: str = ""
    nixpkgs_rev: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """What is known of it, under the names by which runs are found."""
        named = {
            "image_recipe": self.id,
            "image_derivation": self.derivation,
            "image_flake_rev": self.flake_rev,
            "nixpkgs_rev": self.nixpkgs_rev,
        }
        return {name: value for name, value in named.items() if value}


class ImageManifest(BaseModel):
    """`manifest.json`. Holds no time and no path, so that equal inputs give an equal manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    system: str = "x86_64-linux"
    builder: str
    hash: Sha256
    kernel_cmdline: str
    kernel_version: str
    files: dict[str, FileFact]
    packages: dict[str, str]  # name: version
    # third-party file: its content hash
    extras: dict[str, Sha256] = Field(default_factory=dict)
    # what a scheduler's plan must know of the guest: unit names, users, paths
    facts: dict[str, str]
    # name: version of what packed it; other versions, other bytes
    tools: dict[str, str] = Field(default_factory=dict)
    recipe: ImageRecipe | None = None

    @model_validator(mode="after")
    def _names_its_bytes(self) -> Self:
        if sorted(self.files) != sorted(PARTS):
            raise ValueError(
                f"a bundle consists of {', '.join(PARTS)}, not of {', '.join(sorted(self.files))}"
            )
        expected = content_hash(self.files, self.kernel_cmdline)
        if self.hash != expected:
            raise ValueError(
                f"its hash is {self.hash}, but its files and kernel command line hash to {expected}"
            )
        return self


def content_hash(files: Mapping[str, FileFact], kernel_cmdline: str) -> str:
    """Return the hash of a bundle: equal exactly when all files and the kernel command line are."""
    lines = [f"{name} {fact.sha256}" for name, fact in sorted(files.items())]
    return hashlib.sha256("\n".join([*lines, f"cmdline {kernel_cmdline}"]).encode()).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A bundle on this machine.

    `path` is its folder. Nodes share the files in it, so nothing ever writes to them.
    """

    path: Path
    manifest: ImageManifest

    @property
    def hash(self) -> str:
        """The content hash, in full."""
        return self.manifest.hash

    @property
    def kernel(self) -> Path:
        """What QEMU's `-kernel` gets."""
        return self.path / KERNEL

    @property
    def initrd(self) -> Path:
        """What QEMU's `-initrd` gets."""
        return self.path / INITRD

    @property
    def root(self) -> Path:
        """The erofs root file system, a read-only disk."""
        return self.path / ROOT


def read(folder: Path) -> Bundle:
    """Return the bundle in `folder`; its files are not read.

    Raises ImageError if the manifest is missing or isn't a valid one.
    """
    path = folder / MANIFEST
    try:
        return Bundle(folder, ImageManifest.model_validate_json(path.read_bytes()))
    except FileNotFoundError as error:
        raise ImageError(f"no image bundle in {folder}: it has no {MANIFEST}") from error
    except ValidationError as error:
        raise ImageError(
            f"{path} is not a valid image manifest",
            str(error),
            "Remove the folder and build it again.",
        ) from error


def write(folder: Path, manifest: ImageManifest) -> Bundle:
    """Write `manifest` into `folder`, whose files it describes."""
    text = json.dumps(manifest.model_dump(), indent=1, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text)
    return Bundle(folder, manifest)
