"""The end of a campaign on a terminal: where its time went, and its front as table and scatter."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from campaign.analysis.front.findings import FrontFindings
from campaign.core.printable import printable
from campaign.core.trials import TrialRecord
from campaign.report.facts import (
    alike,
    change,
    dimensions,
    in_virtual_time,
    number,
    percent,
    schedulers_of,
    seconds,
    short,
    shown,
    simulated,
)
from campaign.report.front_quality import quality_lines
from campaign.report.ladder import ladder_lines
from campaign.report.lead import MARKS, lead
from campaign.report.result import CampaignResult
from campaign.report.searched import ALIKE, interval_texts, searched_sentences
from campaign.report.times import Cost
from campaign.schema.model import Direction
from search.space import SCHEDULER

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

ARROWS = {"minimize": "\u2193", "maximize": "\u2191"}  # where better is
# characters of the scatter's field
COLUMNS = 56
NARROWEST = 24
ROWS = 12


def text_front(result: CampaignResult, findings: FrontFindings | None = None) -> "Group":
    """Return what a campaign found, for `rich.print`.

    It is the front's points with objectives and searched parameters as a table, a scatter, and what
    was found out about the front.
    """
    from rich.console import Group
    from rich.text import Text

    from campaign.report.narrow import Drawn, Fitted

    records = result.records
    best = result.front
    objectives = result.facts.objectives
    valid = sum(record.valid for record in records)
    of = " of a simulation" if simulated(records) else ""
    of = " in virtual time" if in_virtual_time(records) else of
    points = alike(best, objectives)
    title = Text(
        f"Pareto front{of}: {len(best)} of {valid} valid trials ({len(records)} in all)",
        style="bold",
    )
    whole = (result.unmet, result.stood_still, result.known_outcomes, result.taken_over)
    ladder = ladder_lines(result.ladder)
    said = (*lead(result), *result.unjudged, *_apart(result), *filter(None, whole), *ladder)
    apart = [Text(printable(line)) for line in said]
    if not best:
        return Group(title, *apart)
    return Group(
        title,
        *apart,
        Fitted(_table(points, result, dimensions(records))),
        Drawn(lambda width: printable(scatter(records, best, objectives, width))),
        *(Text(printable(line)) for line in (quality_lines(findings) if findings else ())),
    )


def _apart(result: CampaignResult) -> Iterator[str]:
    for group in result.facts.earlier_groups:
        yield (
            f"{len(group.records)} earlier trials can't be compared with these, so they are left "
            f"out: {'; '.join(group.differs)}"
        )


def time_lines(cost: Cost) -> Iterator[tuple[str, str]]:
    """Yield where the time went, and where the clusters came from: a heading and a line each."""
    if not cost.trials:
        return
    later = (
        "" if cost.later_share is None else f" ({percent(cost.later_share)} after the first trial)"
    )
    ready = cost.ready
    between = f"{percent(cost.between.share)} between trials"
    parts = [f"{cost.wall_s / 60:.1f} min: {percent(cost.workload_share)} workload{later}", between]
    if ready.count:
        parts.append(
            f"nodes ready after {seconds(ready.p50)} s (p50), {seconds(ready.p95)} s (p95)"
        )
    yield "time", ", ".join(parts)
    starts = cost.starts
    if starts.restored or starts.booted:
        why = "; ".join(f"{count} because {reason}" for reason, count in starts.reasons)
        yield (
            "clusters",
            f"{starts.restored} restored, {starts.booted} booted{f' ({why})' if why else ''}",
        )


def scatter(
    records: Sequence[TrialRecord],
    best: Sequence[TrialRecord],
    objectives: Mapping[str, Direction],
    width: int = 80,
) -> str:
    """Draw the first two objectives against each other in characters, in at most `width` columns.

    `o` is on the front, `.` is behind it. Of several schedulers, each has its own letter on the
    front.
    """
    across, up = list(objectives)[:2]
    shown_ones = [
        record for record in records if record.valid and {across, up} <= set(record.metrics)
    ]
    if not shown_ones:
        return ""
    x_low, x_high = _limits([record.metrics[across] for record in shown_ones])
    y_low, y_high = _limits([record.metrics[up] for record in shown_ones])
    ends = (number(y_low), number(y_high))
    columns = max(NARROWEST, min(COLUMNS, width - max(map(len, ends)) - 3))
    field = [[" "] * columns for _ in range(ROWS)]
    letters = _letters(schedulers_of(records))
    for behind, group in ((True, shown_ones), (False, best)):
        for record in group:
            mark = "." if behind else letters.get(str(record.point.get(SCHEDULER)), "o")
            column = _cell(record.metrics[across], x_low, x_high, columns)
            row = _cell(record.metrics[up], y_low, y_high, ROWS)
            field[ROWS - 1 - row][column] = mark
    legend = ", ".join(f"{letter} {name}" for name, letter in letters.items())
    framed = _framed(field, (across, number(x_low), number(x_high)), (up, *ends))
    return f"{framed}\non the front: {legend}" if letters else framed


def _letters(schedulers: Sequence[str]) -> dict[str, str]:
    """Return a letter for each scheduler: its first one, or the next that no other has."""
    found: dict[str, str] = {}
    for name in schedulers:
        free = [
            letter
            for letter in (*name.upper(), *"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
            if letter not in found.values()
        ]
        found[name] = free[0]
    return found


def _table(
    points: Sequence[tuple[TrialRecord, Sequence[TrialRecord]]],
    result: CampaignResult,
    names: Sequence[str],
) -> "Table":
    """Return a table with a row per point, and one of the baseline.

    Of trials with equal values it has the first one's settings, and how many others there are.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", justify="right")
    baseline = result.baseline
    objectives = result.facts.objectives
    for name, direction in objectives.items():
        head = Text(f"{_folded(printable(name))}\n{ARROWS[direction]}")
        table.add_column(head, justify="right", style="bold", overflow="fold")
    for name in names:
        table.add_column(Text(_folded(printable(short(name)))), overflow="fold")
    behind = [baseline] if baseline and result.baseline_behind else []
    for record, others in (*points, *((one, ()) for one in behind)):
        values = [_value(record, result, name) for name in objectives]
        label = "\n".join(_label(record, others, result))
        # As texts, since brackets in a string would be markup.
        point = [printable(shown(record.point.get(name)), lines=False) for name in names]
        table.add_row(label, *values, *(Text(_folded(value)) for value in point))
    table.caption = "\n".join(_captions(points, result)) or None
    return table


def _label(
    record: TrialRecord, others: Sequence[TrialRecord], result: CampaignResult
) -> Iterator[str]:
    yield f"{record.number}" + (f" +{len(others)}" if others else "")
    if record.baseline:
        yield "baseline"
    known = result.searched.of_trial(record.number) if result.searched else None
    if known and known.alike:
        yield f"{ALIKE} {', '.join(map(str, known.alike))}"


def _captions(
    points: Sequence[tuple[TrialRecord, Sequence[TrialRecord]]], result: CampaignResult
) -> Iterator[str]:
    if any(others for _, others in points):
        yield "+n: so many other trials have the same values"
    if result.searched:
        yield from searched_sentences(result.searched)
    if result.unseen:
        yield (
            f"last line: change on {result.unseen.instances} workloads that the search has not "
            "seen; \u2713 better, \u2717 worse, = the same, ? not to be told"
        )


def _value(record: TrialRecord, result: CampaignResult, metric: str) -> str:
    lines = [number(record.metrics.get(metric)), change(record, result.baseline, metric)]
    known = result.searched.of_trial(record.number) if result.searched else None
    if known:
        own, changed = interval_texts(known.values[metric])
        lines = [line for pair in zip(lines, (own, changed), strict=True) for line in pair]
    unseen = result.unseen.of_trial(record.number) if result.unseen else None
    if unseen:
        found = unseen.changes[metric]
        lines.append(f"{found.brief} {MARKS[found.verdict]}")
    return "\n".join(filter(None, lines))


def _folded(name: str, width: int = 12) -> str:
    """Return `name`, broken between its words into lines of about `width` characters.

    Tables of long names then fit 80 columns.
    """
    lines = [""]
    for part in re.split(r"(?<=[_./])|(?<=[a-z])(?=[A-Z])", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low = min(values)
    high = max(values)
    return (low, high) if high > low else (low - 1, high + 1)


def _cell(value: float, low: float, high: float, cells: int) -> int:
    return min(cells - 1, int((value - low) / (high - low) * cells))


def _framed(
    field: Sequence[Sequence[str]], across: tuple[str, str, str], up: tuple[str, str, str]
) -> str:
    name, low, high = up
    margin = max(len(low), len(high))
    labels = [high, *[""] * (ROWS - 2), low]
    rows = [
        f"{label:>{margin}} |{''.join(row).rstrip()}"
        for label, row in zip(labels, field, strict=True)
    ]
    x_name, x_low, x_high = across
    columns = len(field[0])
    ends = f"{x_low}{x_high:>{columns - len(x_low)}}"
    rule = f"{'':>{margin}} +{'-' * columns}"
    below = f"{'':>{margin}}  {ends}"
    return "\n".join([name, *rows, rule, below, f"{x_name:>{margin + columns + 2}}"])
