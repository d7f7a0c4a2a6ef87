"""Which version of this software runs, for the provenance of results."""

import hashlib
import subprocess
from functools import cache
from pathlib import Path


@cache
def git_commit() -> str:
    """The commit of the source folder, `-dirty` behind it where files differ; `unknown` outside a
    git checkout."""
    root = Path(__file__).resolve().parents[2]
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return (
            f"{commit}-dirty"
            if _git(root, "status", "--porcelain", "--untracked-files=no")
            else commit
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"


PACKAGES = ("actors", "campaign", "schedulers", "search")


@cache
def source_digest() -> str:
    """A hash of the program's source files: equal where two machines run the same."""
    root = Path(__file__).resolve().parents[2]
    total = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            total.update(
                f"{file.relative_to(root)} "
                f"{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode()
            )
    return total.hexdigest()[:16]


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
