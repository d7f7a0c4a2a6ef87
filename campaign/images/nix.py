"""Build image bundles with the project's Nix flake: the images of record, named by their recipe.

The flake's output is a folder with the bundle. It is checked and copied into the store, with a note
of the recipe that made it: store path, derivation, and the revisions of the flake and of nixpkgs.
"""

import json
import logging
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from campaign.core.errors import ImageError, command_failed
from campaign.images.bundles import manifest, tools
from campaign.images.bundles.manifest import Bundle, ImageRecipe
from campaign.images.bundles.store import Store

FLAKE = Path(__file__).parents[2]
_NAME = re.compile(r"[a-z][a-z0-9-]*")
# The flake's image-volcano is what adapters ask for as `kubernetes`.
_ALIASES = {"kubernetes": ("volcano",)}
_TAIL_LINES = 25
_END_WAIT_S = 10

_log = logging.getLogger(__name__)


def available() -> bool:
    """Return whether this machine has Nix, and this installation the flake."""
    return shutil.which("nix") is not None and (FLAKE / "flake.nix").is_file()


def build(name: str, *, store: Store, flake: str | None = None) -> Bundle:
    """Build the image `name` with the flake, put it into `store`, and return it.

    `flake` is a reference as Nix takes it, by default the project's own. Nix's own progress is
    logged line by line. ImageError says why there is no bundle: no Nix, no such image, a build that
    failed or was killed, an answer or a bundle that can't be read. Nothing half-made is left
    behind.
    """
    if not _NAME.fullmatch(name):
        raise ImageError(f"there is no image {name!r} to build", "names are like slurm")
    reference = flake or _own_flake()
    made = _built(name, _nix("build", "--no-link", "--json", f"{reference}#image-{name}"))
    metadata = _nix("flake", "metadata", "--json", reference)
    with tools.disk_errors(store.path), store.making() as folder:
        bundle = manifest.read(Path(made["out"]))
        if bundle.manifest.name != name and name not in _ALIASES.get(bundle.manifest.name, ()):
            raise ImageError(
                f"the flake's image-{name} is an image {bundle.manifest.name!r}", str(bundle.path)
            )
        _log.info("copying into the store")
        for part in manifest.PARTS:
            shutil.copyfile(bundle.path / part, folder / part)
        recipe = ImageRecipe(id=made["out"], derivation=made["drv"], **_revisions(metadata))
        described = manifest.write(folder, bundle.manifest.model_copy(update={"recipe": recipe}))
        store.verify(described, deep=True)  # before anyone can see it there
        stored = store.put(described)
    _log.info("image %s %s", stored.manifest.name, stored.hash)
    return stored


def _own_flake() -> str:
    if not (FLAKE / "flake.nix").is_file():
        raise ImageError(
            "the project's flake isn't beside this installation",
            str(FLAKE / "flake.nix"),
            "Run from a checkout, or name a flake: --flake=PATH",
        )
    return str(FLAKE)


def _built(name: str, text: str) -> dict[str, str]:
    """Return the store path (`out`) and derivation (`drv`) that `nix build --json` printed."""
    (one,) = _json(text, f"nix build of image-{name}", [{"drvPath": str, "outputs": {"out": str}}])
    return {"out": one["outputs"]["out"], "drv": one["drvPath"]}


def _revisions(text: str) -> dict[str, str]:
    """Return the revisions that `nix flake metadata --json` printed.

    That of a changed checkout has `-dirty` at its end.
    """
    found = _json(text, "nix flake metadata", {})
    locked = found.get("locks", {}).get("nodes", {}).get("nixpkgs", {}).get("locked", {})
    return {
        "flake_rev": str(found.get("revision") or found.get("dirtyRevision") or ""),
        "nixpkgs_rev": str(locked.get("rev", "")),
    }


def _json(text: str, what: str, shape: Any) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ImageError(f"{what}: the answer is not JSON", text[:1000]) from error
    if not _fits(value, shape):
        raise ImageError(f"{what}: the answer isn't what was expected", text[:1000])
    return value


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, type):
        return isinstance(value, shape)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            key in value and _fits(value[key], of) for key, of in shape.items()
        )
    return isinstance(value, list) and len(value) == len(shape) and all(map(_fits, value, shape))


def _nix(*arguments: str) -> str:
    """Run Nix, log its progress, and return what it prints.

    Raises ImageError with the end of its messages if it fails, is killed, or isn't there.
    """
    # Nix refuses both features without this, since it counts them as experimental.
    command = ("nix", "--extra-experimental-features", "nix-command flakes", *arguments)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    # A file and not a pipe: only the progress is read meanwhile, and a full pipe would stop Nix.
    with tempfile.TemporaryFile("w+") as output:
        with _running(command, output) as process:
            for line in process.stderr or ():
                tail.append(line.rstrip())
                _log.info("%s", line.rstrip())
        if process.returncode:
            how = (
                f"was ended by signal {-process.returncode}" if process.returncode < 0 else "failed"
            )
            details = command_failed(command, process.returncode, "\n".join(tail))
            raise ImageError(f"nix {arguments[0]} {how}", details, _resolution(tail))
        output.seek(0)
        return output.read()


@contextmanager
def _running(command: Sequence[str], output: Any) -> Iterator["subprocess.Popen[str]"]:
    """Run Nix until it has ended; end it when we are interrupted."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise ImageError(
            "nix is missing", "", "Install Nix 2.18 or later, or build with --builder=debian"
        ) from error
    with process:
        try:
            yield process
            process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_END_WAIT_S)
                except subprocess.TimeoutExpired:
                    process.kill()


def _resolution(tail: Sequence[str]) -> str:
    if any("hash mismatch" in line for line in tail):
        return (
            "If it is a hash of nix/packages/pending-hashes.nix, put the one that Nix got there: "
            "see nix/README.md"
        )
    return ""
