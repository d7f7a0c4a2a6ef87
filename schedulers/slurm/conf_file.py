"""Reads slurm.conf as slurmctld does: continued lines, comments, escapes and included files.

Read off src/common/parse_config.c of Slurm 24.11. Why no library does it: slurmutils 1.3 refuses
continued lines, Include and keys that it doesn't know, and doesn't say where a value stands.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from campaign.core.errors import ConfigError

LARGEST = 10_000_000  # bytes of a file
DEEPEST = 10  # files that include one another
PAIR = re.compile(r'\s*([\w.]+)\s*[-*+/]?=\s*(?:"([^"]*)"|(\S+))(?=\s|$)', re.ASCII)
INCLUDE = re.compile(r"include\s+(\S+)", re.IGNORECASE)
COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)#.*")
CONTINUED = re.compile(r"(?<!\\)((?:\\\\)*)\\\s*$")
BOM = "\ufeff"
ESCAPE = re.compile(r"\\(.?)")
NOTHING: Mapping[Path, str] = MappingProxyType({})
SHOWN = 80  # characters of a wrong line that a message shows


@dataclass(frozen=True)
class ConfPair:
    """A `Key=value`, the file in which it stands, and the line on which its line begins.

    `first` tells whether it is the first of its line: `NodeName=` begins the description of nodes,
    of which the other pairs are part.
    """

    file: Path
    line: int
    key: str
    value: str
    first: bool


def read_conf(file: Path, instead: Mapping[Path, str] = NOTHING) -> list[ConfPair]:
    """Return the pairs of slurm.conf, those of included files in their place.

    Files in `instead` are read as if they had that content. Raises ConfigError, naming file and
    line, for what can't be read or isn't `Key=value`.
    """
    return list(_pairs(file, file.parent, instead, {}, ()))


def _pairs(
    file: Path,
    folder: Path,
    instead: Mapping[Path, str],
    known: dict[str, str],
    above: tuple[Path, ...],
) -> Iterator[ConfPair]:
    if file in above or len(above) == DEEPEST:
        chain = " includes ".join(map(str, (*above, file)))
        raise ConfigError(f"{chain}", resolution="Leave the last Include out.")
    for number, text in _lines(instead.get(file) or content_of(file)):
        if include := INCLUDE.match(text):
            name = include[1].replace("%c", known.get("clustername", "%c").lower())
            yield from _pairs(folder / name, folder, instead, known, (*above, file))
            continue
        end = 0
        while match := PAIR.match(text, end):
            key, quoted, plain = match.groups()
            value = plain if quoted is None else quoted
            known[key.lower()] = value
            yield ConfPair(file, number, key, value, first=not end)
            end = match.end()
        if text[end:].strip():
            raise ConfigError(
                f"{file}, line {number}: not Key=value: {text[end:].strip()[:SHOWN]!r}",
                resolution="Correct the line, or put a # before it.",
            )


def content_of(file: Path) -> str:
    """Return the text of a file; ConfigError where it can't be read or is too large."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"{file}: {error.strerror}", resolution="Name a slurm.conf and keep what it includes."
        ) from error
    if len(content) > LARGEST or b"\0" in content:
        raise ConfigError(
            f"{file}: not a text file of at most {LARGEST // 10**6} MB",
            resolution="Name a slurm.conf.",
        )
    return content.decode(errors="replace")


def spans(content: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each line's number, with its text and that of those which continue it."""
    lines: list[str] = []
    for number, line in enumerate(content.split("\n"), start=1):
        lines.append(line)
        if not CONTINUED.search(COMMENT.sub(r"\1", line)):
            yield number - len(lines) + 1, lines
            lines = []
    if lines:
        yield content.count("\n") + 2 - len(lines), lines


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """Yield the lines without comments, continued ones joined, with the number of the first."""
    for number, lines in spans(content):
        bare = (COMMENT.sub(r"\1", line.rstrip("\r").lstrip(BOM)) for line in lines)
        joined = "".join(CONTINUED.sub(r"\1", line) for line in bare)
        yield number, ESCAPE.sub(r"\1", joined).strip()
