"""A golden cluster on disk: the key that names it, its files, and their sealed manifest.

A golden cluster is a snapshot of a booted and joined cluster.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from campaign.core.errors import CampaignError

FORMAT = 1  # of the files below; another one gives every key another digest
MANIFEST = "manifest.json"
_FIX = "Discard it: a cold boot takes its place."

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]


class GoldenError(CampaignError):
    """A golden cluster can't be kept or used."""

    retryable = True


class GoldenDamaged(GoldenError):
    """A golden cluster isn't what was put into the store, and must not be restored."""


class GoldenGone(GoldenError):
    """A golden cluster that was found before has been evicted, discarded or replaced since."""


class GoldenStoreFull(GoldenError):
    """The store's disk has no room for a golden cluster that is being made."""


@dataclass(frozen=True)
class SnapshotKey:
    """Everything that shapes a golden cluster, by name: image hash, scheduler, QEMU version, ..."""

    inputs: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The key as a name (64 hexadecimal digits): equal where all inputs and the format are."""
        return _hash({"format": FORMAT, "parts": dict(self.inputs)})


@dataclass(frozen=True)
class Golden:
    """A golden cluster in a store.

    Restored nodes map its files copy on write; they are never written to.
    """

    folder: Path
    key: SnapshotKey
    nodes: tuple[str, ...]  # in the order of `put`
    identity: Mapping[str, bytes] = field(repr=False)  # the cluster's secrets, such as its SSH keys
    seal: str  # the hash of the manifest: tells it from another golden cluster of the same key
    size: int  # bytes of its nodes' files, holes included
    disk_use: int  # bytes on the disk

    @property
    def digest(self) -> str:
        """The key's digest."""
        return self.key.digest

    def ram(self, node: str) -> Path:
        """Return the file of the memory of `node`, to be mapped privately."""
        return ram_file(self.folder, node)

    def state(self, node: str) -> Path:
        """Return the file of the device state of `node`."""
        return state_file(self.folder, node)

    def files(self, nodes: Iterable[str] | None = None) -> Iterator[Path]:
        """Yield the files of memory and state of `nodes` (of all, if None), node by node."""
        for node in self.nodes if nodes is None else nodes:
            yield self.ram(node)
            yield self.state(node)


class Content(BaseModel):
    """A file's `sparse.digest` and its size in bytes, holes included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: Sha256
    size: int = Field(ge=0)


class GoldenManifest(BaseModel):
    """The body of `manifest.json`. Validation errors don't show its values: it holds secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    parts: dict[str, str]
    nodes: tuple[NodeName, ...] = Field(min_length=1)
    files: dict[str, Content]
    identity: dict[str, Base64Bytes] = Field(repr=False)

    @model_validator(mode="after")
    def _describes_its_nodes(self) -> "GoldenManifest":
        if sorted(self.files) != sorted(file_names(self.nodes)):
            raise ValueError(f"its files aren't those of its nodes {', '.join(self.nodes)}")
        return self

    @property
    def key(self) -> SnapshotKey:
        """What the golden cluster was made from."""
        return SnapshotKey(self.parts)

    @property
    def seal(self) -> str:
        """The hash over all of it."""
        return _hash(self.model_dump(mode="json"))


def ram_file(folder: Path, node: str) -> Path:
    """Return the file of the memory of `node` in the folder of a golden cluster or draft."""
    return folder / f"{node}.ram"


def state_file(folder: Path, node: str) -> Path:
    """Return the file of the device state of `node`."""
    return folder / f"{node}.state"


def file_names(nodes: Sequence[str]) -> list[str]:
    """Return the names of the files of `nodes`."""
    return [file(Path(), node).name for node in nodes for file in (ram_file, state_file)]


def write(path: Path, manifest: GoldenManifest) -> None:
    """Write `manifest` with its seal to the new file `path`; OSError if that fails."""
    text = json.dumps(
        {"seal": manifest.seal, "golden": manifest.model_dump(mode="json")},
        indent=1,
        sort_keys=True,
    )
    # Made with its mode first: otherwise others could open the secrets before a chmod.
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="utf-8")


def parse(path: Path, raw: bytes) -> GoldenManifest:
    """Return the manifest that was read from `path`; GoldenDamaged if `write` didn't write it."""
    try:
        found = json.loads(raw)
        manifest = GoldenManifest.model_validate(found["golden"])
        seal = found["seal"]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, "isn't a whole manifest", _without_values(error)) from error
    if manifest.seal != seal:
        raise damaged(
            path, "was altered", f"it is sealed as {seal}\nbut its content is {manifest.seal}"
        )
    return manifest


def damaged(path: Path, what: str, details: str = "") -> GoldenDamaged:
    """Return the error for the file `path` of a golden cluster."""
    return GoldenDamaged(f"golden cluster file {path} {what}", details, _FIX)


def differences(asked: SnapshotKey, found: SnapshotKey) -> str:
    """Return the inputs in which two keys differ, a line each."""
    names = sorted(asked.inputs.keys() | found.inputs.keys())
    pairs = [(name, asked.inputs.get(name), found.inputs.get(name)) for name in names]
    return "\n".join(
        f"{name}: asked for {want!r}, found {have!r}" for name, want, have in pairs if want != have
    )


def _without_values(error: Exception) -> str:
    if isinstance(error, ValidationError):
        # pydantic's own text would repeat values, and a manifest holds secrets.
        return "\n".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
    return f"{type(error).__name__} while reading it"


def _hash(value: Any) -> str:
    """Return the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
