"""The report of a campaign: one self-contained HTML page that loads nothing from anywhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from campaign.analysis.fidelity import FidelityFindings
from campaign.analysis.front.findings import FrontFindings
from campaign.analysis.metrics import METRICS, MetricDefinition, definition_of
from campaign.core import files
from campaign.core.jobs import BOUNDED_SLOWDOWN_TAU_S
from campaign.core.provenance import Group, headline, names_of
from campaign.core.trials import Check, TrialRecord
from campaign.report.chart_svg import inside_page
from campaign.report.chosen import (
    changed_settings,
    chosen_of,
    commands_of,
    gantt_charts,
    handed_over,
    schedule_charts,
    spread_over,
)
from campaign.report.citation import citation
from campaign.report.constraints import said
from campaign.report.design import page_style, script
from campaign.report.facts import (
    ABSENT,
    CampaignFacts,
    alike,
    change,
    common,
    dimensions,
    in_virtual_time,
    number,
    percent,
    seconds,
    short,
    shown,
    simulated,
)
from campaign.report.fidelity import fidelity_sections
from campaign.report.front_chart import front_charts
from campaign.report.front_pictures import importance_chart, volume_chart
from campaign.report.front_quality import IDS, IMPORTANCE, VOLUME, quality_sections
from campaign.report.labels import BETTER_IS, begun, in_words, label_of, measures
from campaign.report.ladder import HEADING as LADDER
from campaign.report.ladder import ladder_sections
from campaign.report.lead import MARKS, lead
from campaign.report.pages import templates
from campaign.report.phase_chart import phase_chart
from campaign.report.pressures import pressures_of
from campaign.report.result import CampaignResult
from campaign.report.same_outcome import why_same
from campaign.report.searched import ALIKE, interval_texts, searched_sentences
from campaign.report.sections import Table
from campaign.report.times import CALIBRATION, unlike
from search.constraints import Limit, limits_among
from search.pareto import feasible

LOW_FIELD = 190
"""Pixels that the field of a chart over time is high."""
MOST_COLUMNS = 8  # trials beside each other in the table of metrics
FILTERS: dict[str, Callable[..., str]] = {
    "number": number,
    "short": short,
    "shown": shown,
    "seconds": seconds,
    "percent": percent,
    "in_words": in_words,
    "label": label_of,
    "begun": begun,
    "why_same": why_same,
}
"""The functions by which the template writes values."""


@dataclass(frozen=True)
class Line:
    """A check over all trials: how many passed, and which trials failed with which value."""

    name: str
    limit: str
    passed: int
    failed: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Cell:
    """A cell of a metric's row, over `span` trials: a number, or why there is none."""

    text: str
    is_value: bool
    span: int = 1


@dataclass(frozen=True)
class MetricRow:
    """A metric, what it is, and its cells over the trials that are shown."""

    name: str
    unit: str
    definition: str
    source: str
    cells: tuple[Cell, ...]


def write(
    target: Path,
    result: CampaignResult,
    jobs: Callable[[int], pa.Table | None],
    fidelity: FidelityFindings | None = None,
    quality: FrontFindings | None = None,
) -> Path:
    """Write the page to the file `target`, whole or not at all, and return it.

    `jobs` gives a trial's jobs table, or None where it left none; `fidelity` is the baseline's
    where a log was replayed; `quality` says how good the front is. Raises StorageError when the
    disk doesn't take it.
    """
    page = render(result, jobs, fidelity, quality)
    files.write_durably(target, page)
    return target


def render(
    result: CampaignResult,
    jobs: Callable[[int], pa.Table | None],
    fidelity: FidelityFindings | None = None,
    quality: FrontFindings | None = None,
) -> str:
    """Return the page as text. All that comes from workloads, configuration or nodes is escaped."""
    facts = result.facts
    records = result.records
    points = alike(result.front, facts.objectives)
    compared = spread_over([first for first, _ in points], MOST_COLUMNS)
    limits = limits_among(facts.constraints, records)
    environment = templates()
    environment.filters |= FILTERS
    environment.tests["table"] = lambda part: isinstance(part, Table)
    return environment.get_template("page.html.j2").render(
        facts=facts,
        records=records,
        simulated=simulated(records),
        virtual=in_virtual_time(records),
        front=result.front,
        **_instances(result),
        unmet=result.unmet,
        result=result,
        points=points,
        baseline=result.baseline,
        baseline_row=result.baseline_behind,
        change=change,
        front_numbers={record.number for record in result.front},
        dimensions=dimensions(records),
        **_provenance(records),
        status=lambda record: _status(record, limits),
        fidelity=list(fidelity_sections(fidelity)) if fidelity else [],
        quality=[*(quality_sections(quality) if quality else ()), *ladder_sections(result.ladder)],
        quality_ids={**IDS, LADDER: "ladder"},
        constraints=said(facts.constraints),
        lines=check_lines(records),
        pressures=pressures_of(records),
        compared=compared,
        metrics=metric_rows(compared, facts),
        tau=_scaled_tau(facts),
        cost=result.cost,
        calibration=CALIBRATION,
        unlike=unlike(result.cost.hosts),
        citation=citation(result),
        better_is=BETTER_IS,
        **_pictures(result, jobs, quality),
    )


def _pictures(
    result: CampaignResult,
    jobs: Callable[[int], pa.Table | None],
    quality: FrontFindings | None,
) -> dict[str, object]:
    """Return all that is drawn, what it is drawn of, and how; all text in it is escaped."""
    from markupsafe import Markup

    written = measures(result.facts.objectives, result.records)
    chosen = chosen_of(result, quality)
    front = front_charts(result, written)
    gantts = gantt_charts(result, chosen, jobs)
    points = alike(result.front, result.facts.objectives)
    numbers = {record.number for record, _ in gantts}
    schedules = [
        (one, inside_page(one, LOW_FIELD)) for one in schedule_charts(result, chosen, jobs)
    ]
    return {
        "style": Markup(page_style()),  # noqa: S704  ours
        "script": Markup(script()),  # noqa: S704  ours
        "measures": written,
        "chosen": chosen,
        "handed": handed_over(result, chosen),
        "changed": changed_settings(result, chosen),
        "commands": list(commands_of(result, chosen)),
        # Escaped by svg.
        "fronts": [Markup(inside_page(one)) for one in front],  # noqa: S704
        "pictures": {name: Markup(one) for name, one in _of_quality(quality)},  # noqa: S704
        "schedules": [(one, Markup(drawn)) for one, drawn in schedules],  # noqa: S704
        "phases": Markup(phase_chart(result.records)),  # noqa: S704
        "charts": [(record, Markup(chart)) for record, chart in gantts],  # noqa: S704
        "uncharted": sum(first.number not in numbers for first, _ in points),
    }


def _of_quality(quality: FrontFindings | None) -> Iterator[tuple[str, str]]:
    """Yield the pictures of a front's quality by the heading of the section that each is in."""
    if quality and quality.volume:
        yield VOLUME, inside_page(volume_chart(quality.volume), LOW_FIELD)
    importances = importance_chart(quality.importances) if quality else None
    if importances:
        yield IMPORTANCE, inside_page(importances)


def _provenance(records: Sequence[TrialRecord]) -> dict[str, list[tuple[str, str]]]:
    """Return what the page says of where results are from: at its head, and all of it."""
    known = common(records)
    return {
        "headline": [(label, known[name]) for name, label in headline().items() if name in known],
        "provenance": sorted(
            (name, value)
            for name, value in known.items()
            if name not in names_of(Group.EXPLANATION)
        ),
    }


def metric_rows(compared: Sequence[TrialRecord], facts: CampaignFacts) -> list[MetricRow]:
    """Return all metrics over these trials, those of classes of jobs too.

    A reason that neighbouring trials share stands once.
    """
    tau = f"{number(facts.tau_s)} s"
    return [
        MetricRow(
            metric.name,
            metric.unit,
            metric.defined(tau),
            metric.source,
            tuple(_cells(metric, compared)),
        )
        for metric in (*METRICS.values(), *_of_classes(compared))
    ]


def _of_classes(compared: Sequence[TrialRecord]) -> list[MetricDefinition]:
    """Return the metrics of classes of jobs that some of the trials have, or lack with a reason."""
    names = (name for record in compared for name in (*record.metrics, *record.absent))
    found = []
    for name in dict.fromkeys(names):
        with suppress(ValueError):  # a ledger of another version may have other metrics
            found.append(definition_of(name))
    return [metric for metric in found if metric.name not in METRICS]


def _cells(metric: MetricDefinition, compared: Sequence[TrialRecord]) -> Iterator[Cell]:
    for why, group in groupby(compared, key=lambda record: _why_absent(metric, record)):
        records = list(group)
        if why is None:
            yield from (
                Cell(number(record.metrics[metric.name]), is_value=True) for record in records
            )
        else:
            yield Cell(why, is_value=False, span=len(records))


def _why_absent(metric: MetricDefinition, record: TrialRecord) -> str | None:
    return None if metric.name in record.metrics else record.absent.get(metric.name, ABSENT)


def _scaled_tau(facts: CampaignFacts) -> str:
    """Return tau in words where the workload's times are scaled; empty where they aren't."""
    if facts.tau_s == BOUNDED_SLOWDOWN_TAU_S:
        return ""
    return (
        f"{number(facts.tau_s)} s ({number(BOUNDED_SLOWDOWN_TAU_S)} s, scaled as all times of "
        "the workload are)"
    )


def check_lines(records: Sequence[TrialRecord]) -> list[Line]:
    """Return the validity checks by name, those that failed somewhere first."""
    checks: dict[str, list[tuple[int, Check]]] = {}
    for record in records:
        for check in record.checks:
            checks.setdefault(check.name, []).append((record.number, check))
    lines = [_line(name, found) for name, found in checks.items()]
    return sorted(lines, key=lambda line: (not line.failed, line.name))


def _line(name: str, found: Sequence[tuple[int, Check]]) -> Line:
    failed = tuple(
        (trial, f"{number(check.value)} {check.unit}".strip())
        for trial, check in found
        if not check.ok
    )
    limits = sorted(
        {check.note or f"{number(check.limit)} {check.unit}".strip() for _, check in found}
    )
    return Line(name, ", ".join(limits), len(found) - len(failed), failed)


def _instances(result: CampaignResult) -> dict[str, object]:
    """Return what the page says of instances that the search has seen, and has not."""
    return {
        "lead": list(lead(result)),
        "unseen": result.unseen,
        "marks": MARKS,
        "searched": list(searched_sentences(result.searched)) if result.searched else [],
        "interval_texts": interval_texts,
        "mark_alike": ALIKE,
    }


def _status(record: TrialRecord, limits: Sequence[Limit]) -> str:
    if record.valid and not feasible(record, limits):
        return "infeasible"
    if record.ruled_out:
        return f"estimated from {len(record.replicates)} instances: {record.ruled_out}"
    return record.outcome.replace("_", " ")
