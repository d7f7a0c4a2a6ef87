"""Refuses overrides and YAML files that cost too much, or whose numbers would be misread.

Hydra reads YAML 1.1, in which `010` is 8 and `1:30` is 90, and in which a few hundred bytes of
aliases stand for millions of values.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from campaign.core.errors import ConfigError

LARGEST = 1_000_000
"""The most bytes of a file, and the most values that its aliases may stand for."""
DEEPEST = 50
"""How deep settings may be nested."""
LONGEST = 20_000
"""The most characters of an override: Hydra's parser reads some thousand in a second."""
WORD = re.compile(r"[\w.-]+")
OCTAL = re.compile(r"[-+]?0[0-7_]+")
SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


def is_folder(path: Path) -> bool:
    """Return whether there is such a folder; False for a name that no folder can have."""
    try:
        return path.is_dir()
    except OSError:
        return False


def check_override(override: str) -> None:
    """Raise ConfigError for an override that is too long or too deep for Hydra's parser."""
    depth = 0
    deepest = 0
    for each in override:
        depth += (each in "[{(") - (each in ")}]")
        deepest = max(deepest, depth)
    for found, limit, what in (
        (len(override), LONGEST, "is longer than {:,} characters"),
        (deepest, DEEPEST, "is nested more than {} deep"),
    ):
        if found > limit:
            raise ConfigError(
                f"override {override[:40]!r}.. {what.format(limit)}",
                resolution="Set it in a YAML file of your own (--config-dir).",
            )


def check_files(folder: Path, main: Path, overrides: Iterable[str]) -> None:
    """Check the file `main` and all files of `folder` that may be chosen.

    Those are files whose name stands in one of the `overrides`, in `main`, or in another file that
    may be chosen. Raises ConfigError, which names file and line, for one that can't be taken.
    """
    words = {word for override in overrides for word in WORD.findall(override)}
    waiting = [main]
    others = {file for file in folder.glob("*/**/*.yaml") if file.is_file()}
    while waiting:
        for file in waiting:
            words.update(WORD.findall(check_file(file)))
        waiting = sorted(file for file in others if {file.stem, file.name} & words)
        others -= set(waiting)


def check_file(file: Path) -> str:
    """Return the text of a YAML file; raise ConfigError where it can't be taken."""
    if file.stat().st_size > LARGEST:
        raise _refused(file, f"larger than {LARGEST:,} bytes", "Keep settings alone in it.")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _refused(file, f"not UTF-8 text ({error.reason})", "Save it as UTF-8.") from None
    try:
        _check_events(file, yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        first, *rest = str(error).splitlines()
        raise ConfigError(
            f"{file} is not valid YAML: {first}", "\n".join(rest), "Correct the file."
        ) from None
    return text


def _check_events(file: Path, events: Iterator[yaml.Event]) -> None:
    # How many values an anchor stands for is known when its collection ends; those that are open
    # are on the stack, with the number of values before them.
    known: dict[str, int] = {}
    stack: list[tuple[str | None, int]] = []
    count = 0
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in stack):
                raise _refused(file, "holds itself, by an alias", "Write its values out.", line)
            count += known.get(event.anchor, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = stack.pop()
            if anchor is not None:
                known[anchor] = count - before
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor is not None:
                known[event.anchor] = 1
            _check_number(file, event, line)
        if count > LARGEST:
            raise _refused(file, f"stands for more than {LARGEST:,} values", "Use fewer aliases.")
        if len(stack) > DEEPEST:
            raise _refused(
                file, f"nested more than {DEEPEST} deep", "Settings are at most 5.", line
            )


def _check_number(file: Path, event: yaml.ScalarEvent, line: int) -> None:
    """Raise ConfigError for a plain number to another base than it seems to have."""
    if not event.implicit[0]:  # quoted, or with a tag
        return
    text = event.value
    if OCTAL.fullmatch(text) or SEXAGESIMAL.fullmatch(text):
        kind = "the base 60" if ":" in text else "an octal number"
        raise _refused(
            file,
            f"{text} would be read as {kind}",
            f"Write the number in full, or quote it ('{text}') if it is text.",
            line,
        )


def _refused(file: Path, why: str, resolution: str, line: int = 0) -> ConfigError:
    where = f"{file}, line {line}" if line else str(file)
    return ConfigError(f"{where}: {why}", resolution=resolution)
