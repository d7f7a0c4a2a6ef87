"""Takes the files out of docs/adding-a-scheduler.md and puts them into a copy of the project."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/adding-a-scheduler.md"
FOLDERS = ("campaign", "actors", "schedulers", "search", "tests")
_BLOCK = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """What the document says, by path."""
    return dict(_BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")))


def write_tree(place: Path) -> Path:
    """Copy the project's packages to `place`, add the document's files, and return it."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("compiled-*"))
    for path, text in files().items():
        target = place / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return place
