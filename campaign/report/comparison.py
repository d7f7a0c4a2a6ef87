"""Two trials side by side on a terminal: what `campaign.compare` found, as lines."""

from collections.abc import Iterable, Iterator, Sequence

from campaign.compare import PHASES, Change, Comparison, Start
from campaign.fairness import Row
from campaign.report.facts import number, short

_WIDEST = 44  # characters of a value in the table of what differs


def lines(found: Comparison, fairness: Sequence[Row], top: int) -> Iterator[str]:
    """The comparison; the `top` jobs that gained most and those that lost most; `fairness` where schedulers differ."""
    one, other = (arm.name for arm in found.arms)
    yield f"{one} against {other}: the same {found.jobs} jobs, {found.ended} of which ended in both"
    yield from _section("metrics", _table(("", one, other, "change"), _metric_rows(found)))
    yield from _section("the first decision in which they differ", _divergence(found))
    yield from _section(
        "where the time of a job went (means, seconds)",
        [*_table(("", one, other, "change"), _mean_rows(found)), *(f"  {k}: {text}" for k, text in PHASES.items())],
    )
    gained = [change for change in found.changes if change.gained_s > 0]
    lost = [change for change in reversed(found.changes) if change.gained_s < 0]
    for heading, changes in (
        (f"jobs that {other} answered sooner", gained),
        (f"jobs that {one} answered sooner", lost),
    ):
        if changes:
            yield from _section(f"{heading}: {len(changes)}", _change_lines(changes[:top], len(changes)))
    yield from _section("what differs", _table(("", one, other), _differing_rows(found)))
    unequal = [row for row in fairness if not row.equal]
    if unequal:
        yield from _section("what differs between the schedulers", _fairness_lines(unequal))


def _section(heading: str, body: Iterable[str]) -> Iterator[str]:
    yield ""
    yield heading
    yield from (f"  {line}" for line in body)


def _metric_rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    for name, (before, after) in found.metrics.items():
        change = f"{(after - before) / abs(before):+.1%}" if before else ""
        yield name, number(before), number(after), change


def _mean_rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    total = (sum(before for before, _ in found.means.values()), sum(after for _, after in found.means.values()))
    for name, (before, after) in {**found.means, "response": total}.items():
        yield name, f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}"


def _divergence(found: Comparison) -> Iterator[str]:
    if found.divergence is None:
        yield "none: all jobs start in the same order"
        return
    yield f"after {found.divergence.common} starts in the same order:"
    for arm, start in zip(found.arms, found.divergence.starts, strict=True):
        yield f"{arm.name} starts {_start(start)}"


def _start(start: Start) -> str:
    return (
        f"job {start.job} ({start.width} wide) at {start.at_s:.2f} s, after {start.waited_s:.2f} s; "
        f"{start.free_slots} slots are free, {start.waiting_jobs} other jobs of {start.waiting_slots} slots wait"
    )


def _change_lines(changes: Sequence[Change], of: int) -> Iterator[str]:
    rows = [
        (f"{change.job}", f"{change.width}", f"{abs(change.gained_s):.2f}", *(_split(change, name) for name in PHASES))
        for change in changes
    ]
    yield from _table(("job", "width", "by s", *PHASES), rows)
    if len(changes) < of:
        yield f"and {of - len(changes)} more"


def _split(change: Change, phase: str) -> str:
    before, after = (split[phase] for split in change.split)
    return f"{before:.2f} -> {after:.2f}"


def _differing_rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    for name, values in found.differing.items():
        yield short(name), *(_cut(value) for value in values)


def _fairness_lines(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        yield f"{row.aspect}:"
        yield from (f"  {name}: {value}" for name, value in row.values.items())


def _cut(value: str) -> str:
    line = value.partition("\n")[0]
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they must be, the first to the left and the others to the right."""
    cells = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join((first.lstrip().ljust(widths[0]), *others)).rstrip()
