"""What the command that submitted a job says beyond Slurm's accounts: on which jobs it depends."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

KINDS = ("afterany", "afterok", "afternotok", "aftercorr", "after")
OPTION = re.compile(
    r"(?:^|\s)(?:--dependency[=\s]|-d[=\s]?)\s*[\"']?"
    r"((?:after|singleton|expand)[\w:,?+()]*)",
)
EXCLUSIVE = re.compile(r"(?:^|\s)--exclusive(?:=exclusive)?(?:\s|$)")
ARRAY = re.compile(r"(?:^|\s)(?:--array[=\s]|-a[=\s]?)\s*[\d,:-]+%([1-9]\d{0,8})(?:\s|$)")
REFERENCE = re.compile(r"(\d{1,15}(?:_\d{1,15})?)(?:_\*)?(?:\+\d+)?(?:\([\w]*\))?")
ELSEWHERE = "dependencies of another kind than on all of some jobs ignored"
MIXED = "dependencies of several kinds taken for the first"


class Dependency(NamedTuple):
    """The jobs that a job waits for, as the command names them, and for what of them."""

    kind: str
    jobs: tuple[str, ...]


@dataclass
class Submissions:
    """What the commands say: by row, where there is anything; `counts` has what was not taken."""

    dependencies: dict[int, Dependency] = field(default_factory=dict)
    exclusive: set[int] = field(default_factory=set)
    array_limits: dict[int, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def submissions(lines: pa.DictionaryArray) -> Submissions:
    """Return what the commands of all rows say."""
    found = Submissions(counts={ELSEWHERE: 0, MIXED: 0})
    for row, line in _rows_with(lines, "--exclusive"):
        if EXCLUSIVE.search(line):
            found.exclusive.add(row)
    for row, line in _rows_with(lines, r"%\d"):
        if limit := ARRAY.search(line):
            found.array_limits[row] = int(limit[1])
    for row, line in _rows_with(lines, "after|singleton|expand"):
        match = OPTION.search(line)
        if match is None:
            continue
        dependency, counted = dependency_of(match[1])
        if dependency is not None:
            found.dependencies[row] = dependency
        for sentence in counted:
            found.counts[sentence] += 1
    return found


def dependency_of(text: str) -> tuple[Dependency | None, tuple[str, ...]]:
    """Return a dependency such as `afterok:1:2,afterany:3`, and what of it isn't taken."""
    if "?" in text:
        return None, (ELSEWHERE,)
    kinds: list[str] = []
    jobs: list[str] = []
    odd = False
    for part in text.split(","):
        kind, *references = part.split(":")
        matches = [REFERENCE.fullmatch(each) for each in references]
        if kind not in KINDS or not matches or None in matches:
            odd = odd or bool(part)
            continue
        kinds.append(kind)
        jobs += [match[1] for match in matches if match]
    counted = (ELSEWHERE,) * odd + (MIXED,) * (len(set(kinds)) > 1)
    return (Dependency(kinds[0], tuple(dict.fromkeys(jobs))) if jobs else None), counted


def _rows_with(lines: pa.DictionaryArray, pattern: str) -> Iterable[tuple[int, str]]:
    """Yield the rows whose text matches, with the text."""
    text = lines.cast(pa.string())
    rows = pc.indices_nonzero(pc.match_substring_regex(text, pattern).fill_null(False))
    return zip(rows.to_pylist(), text.take(rows).to_pylist(), strict=True)


def numbers_of(
    dependency: Dependency, task: int | None, numbers: Mapping[str, list[int]]
) -> list[int]:
    """Return the numbers of the jobs that `dependency` names; -1 for one that isn't there.

    An array stands for all its tasks, for `aftercorr` for the one of the same `task`. `numbers`
    has jobs, tasks (`7_1`) and arrays by name.
    """
    found: list[int] = []
    for name in dependency.jobs:
        twin = f"{name}_{task}"
        corresponding = dependency.kind == "aftercorr" and task is not None and twin in numbers
        found += numbers.get(twin if corresponding else name, [-1])
    return found
