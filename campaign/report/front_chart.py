"""The charts of a front: two objectives against each other, a chart for each pair of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from campaign.core.trials import TrialRecord
from campaign.report.chart_model import Axis, Chart, Mark, Points, Tone
from campaign.report.facts import alike, change, schedulers_of, short, shown
from campaign.report.labels import BETTER_IS, Measure
from campaign.report.lead import MARKS
from campaign.report.result import CampaignResult
from search.space import SCHEDULER

NAMED = 12
"""A point under the mouse names at most so many other trials with the same values."""

Point = tuple[TrialRecord, Sequence[TrialRecord]]
"""A mark: the first trial with some objectives, and the others whose objectives are the same."""


def front_charts(
    result: CampaignResult, measures: Mapping[str, Measure], chosen: int | None = None
) -> list[Chart]:
    """Return a chart for each pair of objectives; none where no trial has values.

    Trials with equal objectives are one mark, which tells how many there are, and leads to the row
    of its first trial. `chosen` is the number of the point that the report looks at most closely.
    """
    drawn = _Drawn(result, measures, chosen)
    if not drawn.known:
        return []
    pairs = combinations(result.facts.objectives, 2)
    several = len(result.facts.objectives) > 2
    return [drawn.chart(x, y, f"front-{x}-{y}" if several else "front") for x, y in pairs]


class _Drawn:
    """The marks of a campaign's trials."""

    def __init__(
        self, result: CampaignResult, measures: Mapping[str, Measure], chosen: int | None
    ) -> None:
        self.result = result
        self.measures = measures
        self.chosen = chosen
        self.schedulers = schedulers_of(result.records)
        objectives = result.facts.objectives
        self.known = [
            record
            for record in result.records
            if record.valid and all(name in record.metrics for name in objectives)
        ]

    def chart(self, x: str, y: str, name: str) -> Chart:
        """Return the chart of two objectives."""
        return Chart(
            name,
            self._title(x, y),
            self._axis(x),
            self._axis(y),
            points=tuple(self._series(x, y)),
            symbols=tuple(self.schedulers),
        )

    def _axis(self, name: str) -> Axis:
        measure = self.measures[name]
        label = f"{measure.title}, {BETTER_IS[measure.direction]}"
        values = [measure.scaled(one.metrics[name]) for one in self.known]
        spans = (self._span(one, name) for one in self.result.front)
        return Axis.around(label, [*values, *(end for span in spans if span for end in span)])

    def _span(self, record: TrialRecord, name: str) -> tuple[float, float] | None:
        """Return the interval of a value over the instances that the search saw, if it has one."""
        searched = self.result.searched
        found = searched.of_trial(record.number) if searched else None
        ends = (found.values[name].value.low, found.values[name].value.high) if found else None
        if ends is None or not all(map(math.isfinite, ends)):
            return None
        low, high = map(self.measures[name].scaled, ends)
        return low, high

    def _verdicts(self, record: TrialRecord) -> str:
        """Return what was found of a point on unseen instances, a mark for each objective."""
        unseen = self.result.unseen
        found = unseen.of_trial(record.number) if unseen else None
        if found is None:
            return ""
        return " " + "".join(MARKS[found.changes[name].verdict] for name in self.measures)

    def _title(self, x: str, y: str) -> str:
        names = [self.measures[name].label for name in (x, y)]
        points = len(alike(self.result.front, self.result.facts.objectives))
        return (
            f"{names[0]} against {names[1]} of {len(self.known)} valid trials; "
            f"{points} of their outcomes are on the Pareto front"
        )

    def _series(self, x: str, y: str) -> Iterator[Points]:
        objectives = self.result.facts.objectives
        best = {record.number for record in self.result.front}
        baseline = self.result.baseline
        own = baseline.number if baseline else None
        behind = [one for one in self.known if one.number not in best and one.number != own]
        yield self._points("other trials", "other", alike(behind, objectives), x, y)
        front = alike(self.result.front, objectives)
        # Points come best in the first objective first, so that a staircase bounds what they
        # dominate, whatever the directions; of three objectives, no two show that.
        yield self._points("Pareto front", "front", front, x, y, stairs=len(objectives) == 2)
        if baseline in self.known:
            yield self._points("baseline", "baseline", [(baseline, ())], x, y)

    def _points(
        self,
        name: str,
        tone: Tone,
        points: Sequence[Point],
        x: str,
        y: str,
        *,
        stairs: bool = False,
    ) -> Points:
        marks = (self._mark(point, tone, x, y) for point in points)
        return Points(name, tone, tuple(marks), stairs=stairs)

    def _mark(self, point: Point, tone: Tone, x: str, y: str) -> Mark:
        first, others = point
        count = f" \N{MULTIPLICATION SIGN}{len(others) + 1}" if others else ""
        own = f"{first.number}{count}{self._verdicts(first)}"
        label = {"front": own, "baseline": "baseline"}.get(tone, "")
        on_front = first in self.result.front
        return Mark(
            self.measures[x].scaled(first.metrics[x]),
            self.measures[y].scaled(first.metrics[y]),
            label,
            self._tip(first, others),
            f"#{'trial' if on_front else 'all'}-{first.number}",
            self._symbol(first),
            self._span(first, x),
            self._span(first, y),
        )

    def _symbol(self, record: TrialRecord) -> int:
        name = str(record.point.get(SCHEDULER))
        return self.schedulers.index(name) if name in self.schedulers else 0

    def _tip(self, first: TrialRecord, others: Sequence[TrialRecord]) -> str:
        lines = [f"trial {first.number}{', the baseline' if first.baseline else ''}"]
        for name, measure in self.measures.items():
            by = change(first, self.result.baseline, name)
            value = measure.full(first.metrics[name])
            lines.append(f"{measure.label} {value}{f' ({by})' if by else ''}")
        lines += [f"{short(name)} = {shown(value)}" for name, value in first.point.items()]
        return "\n".join([*lines, *self._same(others)])

    def _same(self, others: Sequence[TrialRecord]) -> Iterator[str]:
        """Yield which other trials have the same values; nothing if none has."""
        if others:
            names = [
                f"{one.number}" + (f" ({one.point.get(SCHEDULER)})" if self.schedulers else "")
                for one in others[:NAMED]
            ]
            more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
            which = "trial" if len(others) == 1 else "trials"
            yield f"the same values: {which} {', '.join(names)}{more}"
