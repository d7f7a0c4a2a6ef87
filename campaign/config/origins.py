"""Where a setting's value came from: an override of the command line, a file, or a default."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from campaign.config.groups import CONF
from campaign.config.renamed import old_names

_GLOBAL_PACKAGE = (
    "# @package _global_"  # Hydra's: the file's settings stand at the top, not below its group
)
# Names of metrics hold = in brackets.
OVERRIDE = re.compile(
    r"^(?P<sign>\+\+|\+|~)?(?P<key>(?:[^=\[]|\[[^\[\]]*\])+?)(=(?P<value>.*))?$", re.DOTALL
)


@dataclass(frozen=True)
class Origins:
    """Finds the override or file that a setting's value came from.

    `overrides` and `choices` (the option of each group) are of the command line; the files of
    `folders` count in that order, the one named `primary` first. `otherwise` is the origin of
    values that are in none of them.
    """

    overrides: tuple[str, ...]
    folders: tuple[Path, ...]
    primary: str
    choices: dict[str, str]
    otherwise: str = "the default"

    def overridden(self, path: str) -> bool:
        """Tell whether the command line sets the value at the dotted `path` itself."""
        return any(key_of(override) == path for override in self.overrides)

    def in_users_file(self, path: str) -> bool:
        """Tell whether the value at the dotted `path` is from a file of the user's own folder."""
        users = [folder for folder in self.folders if folder != CONF]
        return any(self.of(path).startswith(f"{folder}/") for folder in users)

    def of(self, path: str) -> str:
        """Return the origin of the value at the dotted `path`, in words."""
        for override in reversed(self.overrides):
            key = key_of(override)
            if self.choices.get(key) == text_of(override):
                continue  # it chose a group's file, which is searched below
            if path == key or path.startswith(f"{key}.") or key.startswith(f"{path}."):
                return f"override {override!r}"
        parts = path.split(".")
        # A setting that isn't in a mapping comes from where the mapping is.
        for end in range(len(parts), -1, -1):
            above = ".".join(parts[:end])
            for file, content, prefix in self._files:
                for name in (above, *old_names(above)):
                    below = name.removeprefix(f"{prefix}.") if prefix else name
                    if name == prefix or _holds(content, below):
                        return str(file)
        return self.otherwise

    @cached_property
    def _files(self) -> list[tuple[Path, Any, str]]:
        import yaml

        found = [(self._find(self.primary), "")]
        found += [
            (self._find(f"{group}/{option}"), group) for group, option in self.choices.items()
        ]
        texts = [(file, file.read_text(), prefix) for file, prefix in found if file]
        return [
            (file, yaml.safe_load(text), "" if text.startswith(_GLOBAL_PACKAGE) else prefix)
            for file, text, prefix in texts
        ]

    def _find(self, name: str) -> Path | None:
        return next(
            (f for folder in self.folders if (f := folder / f"{name}.yaml").is_file()), None
        )


def key_of(override: str) -> str:
    """Return the name of the setting or group that an override is about."""
    match = OVERRIDE.match(override)
    return match["key"] if match else override


def text_of(override: str) -> str:
    """Return the text that an override gives as a value; empty where it gives none."""
    match = OVERRIDE.match(override)
    return (match["value"] or "") if match else override.partition("=")[2]


def _holds(content: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True
