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
from campaign.report import figures
from campaign.report.constraints import said
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
from campaign.report.front_pictures import importance_picture, volume_picture
from campaign.report.front_quality import IMPORTANCE, VOLUME, quality_sections
from campaign.report.gantt import chartable, gantt_svg
from campaign.report.ladder import ladder_sections
from campaign.report.lead import MARKS, lead
from campaign.report.pages import templates
from campaign.report.pressures import pressures_of
from campaign.report.result import CampaignResult
from campaign.report.searched import ALIKE, interval_texts, searched_sentences
from campaign.report.sections import Table
from campaign.report.times import CALIBRATION, unlike
from search.constraints import Limit, limits_among
from search.pareto import feasible

MOST_CHARTS = 12
MOST_COLUMNS = 8  # trials beside each other in the table of metrics
FILTERS: dict[str, Callable[..., str]] = {
    "number": number,
    "short": short,
    "shown": shown,
    "seconds": seconds,
    "percent": percent,
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
    from markupsafe import Markup

    facts = result.facts
    records = result.records
    best = result.front
    points = alike(best, facts.objectives)
    charts = _charts([first for first, _ in points], facts, jobs)
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
        front=best,
        **_instances(result),
        unmet=result.unmet,
        result=result,
        points=points,
        baseline=result.baseline,
        baseline_row=result.baseline_behind,
        change=change,
        front_numbers={record.number for record in best},
        dimensions=dimensions(records),
        **_provenance(records),
        status=lambda record: _status(record, limits),
        fidelity=list(fidelity_sections(fidelity)) if fidelity else [],
        quality=[*ladder_sections(result.ladder), *(quality_sections(quality) if quality else ())],
        # Escaped by svg.
        pictures={name: Markup(one) for name, one in _pictures(quality)},  # noqa: S704
        constraints=said(facts.constraints),
        lines=check_lines(records),
        pressures=pressures_of(records),
        compared=compared,
        metrics=metric_rows(compared, facts),
        tau=_scaled_tau(facts),
        cost=result.cost,
        calibration=CALIBRATION,
        unlike=unlike(result.cost.hosts),
        # Made by plotly from escaped text.
        pareto=Markup(figures.pareto(records, best, facts)),  # noqa: S704
        phases=Markup(figures.phases(records)),  # noqa: S704
        # Escaped by gantt.
        charts=[(record, Markup(chart)) for record, chart in charts],  # noqa: S704
        uncharted=len(points) - len(charts),
        plotly=Markup(figures.library()),  # noqa: S704
    )


def _pictures(quality: FrontFindings | None) -> Iterator[tuple[str, str]]:
    """Yield the pictures of a front's quality by the heading of the section that each is in."""
    if quality and quality.volume:
        yield VOLUME, volume_picture(quality.volume)
    importances = importance_picture(quality.importances) if quality else ""
    if importances:
        yield IMPORTANCE, importances


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


def spread_over(best: Sequence[TrialRecord], most: int) -> list[TrialRecord]:
    """Return at most `most` (two or more) of the front's trials: both ends and evenly between."""
    if len(best) <= most:
        return list(best)
    return [best[round(index * (len(best) - 1) / (most - 1))] for index in range(most)]


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


def _charts(
    best: Sequence[TrialRecord], facts: CampaignFacts, jobs: Callable[[int], pa.Table | None]
) -> list[tuple[TrialRecord, str]]:
    charts = []
    for record in spread_over(best, MOST_CHARTS):
        table = jobs(record.number)
        if table is not None and chartable(table):
            point = ", ".join(
                f"{short(name)}={shown(value)}" for name, value in record.point.items()
            )
            title = f"trial {record.number}: {point}"
            charts.append(
                (record, gantt_svg(table, slots_per_node=facts.slots_per_node, title=title))
            )
    return charts
