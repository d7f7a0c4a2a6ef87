"""The configuration groups and their options, as the folders list them."""

from collections.abc import Iterable
from pathlib import Path

CONF = Path(__file__).parents[1] / "conf"


def groups(folders: Iterable[Path] = (CONF,)) -> dict[str, list[str]]:
    """Return the groups of `folders` with their options, both sorted."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.glob("*/*.yaml"):
            found.setdefault(file.parent.name, set()).add(file.stem)
    return {group: sorted(options) for group, options in sorted(found.items())}
