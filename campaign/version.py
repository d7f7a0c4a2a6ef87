"""Which version of this software runs, for the provenance of results."""

import subprocess
from functools import cache
from pathlib import Path


@cache
def git_commit() -> str:
    """The commit of the source folder, `-dirty` behind it where files differ; `unknown` outside a git checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return f"{commit}-dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
