"""The version of this software that runs, for the provenance of results."""

import hashlib
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from campaign.core.log import PACKAGES
from campaign.core.provenance import Provenance

DISTRIBUTION = "hpc-campaign"
NOT_KNOWN = "unknown"
SUFFIXES = frozenset({".py", ".j2"})
GUEST = "guest"
"""The folders whose files are programs for nodes."""


def software() -> Provenance:
    """Return what is known of the software itself: its version, commit and the digest of its files.

    An installed wheel has no commit; its version and digest are still there.
    """
    commit = git_commit()
    return Provenance(
        software_version=software_version(),
        git_commit="" if commit == NOT_KNOWN else commit,
        source_digest=source_digest(),
    )


@cache
def software_version() -> str:
    """Return the version of the installed distribution; `unknown` if it isn't installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return NOT_KNOWN


@cache
def git_commit() -> str:
    """Return the commit of the source folder, `-dirty` behind it where files differ.

    `unknown` outside a git checkout of this project.
    """
    root = Path(__file__).resolve().parents[2]
    try:
        top, commit = _git(root, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        # A wheel may be installed in a folder below somebody else's checkout.
        if Path(top).resolve() != root:
            return NOT_KNOWN
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
        return f"{commit}-dirty" if dirty else commit
    except (OSError, subprocess.SubprocessError, ValueError):
        return NOT_KNOWN


@cache
def source_digest() -> str:
    """Return a hash of the program's source files: equal where two machines run the same.

    It covers what shapes a trial: Python, templates, and the programs that run on nodes.
    """
    root = Path(__file__).resolve().parents[2]
    total = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted(filter(_is_source, (root / package).rglob("*"))):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{file.relative_to(root)} {content}\n".encode())
    return total.hexdigest()[:16]


def _is_source(file: Path) -> bool:
    # Of the guests' programs, those without an ending are scripts.
    return file.suffix in SUFFIXES or (file.parent.name == GUEST and file.is_file())


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
