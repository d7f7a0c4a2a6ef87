"""The point that a report looks at most closely, beside the baseline: schedules and settings."""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from campaign.analysis.front.findings import FrontFindings
from campaign.core.trials import TrialRecord
from campaign.report.chart_model import Chart, Tone
from campaign.report.facts import alike, nodes_of, short, shown
from campaign.report.gantt import chartable, gantt_svg
from campaign.report.over_time import TrialSchedule, over_time
from campaign.report.result import CampaignResult
from campaign.report.sections import Table
from search.space import SCHEDULER

MOST_CHARTS = 12
MOST_BYTES = 700_000
"""So large may all Gantt charts of a page be together."""
WITH_A_FILE = "slurm"
"""The scheduler whose change `hpc-campaign export config` writes as a patch of a site's file."""

Jobs = Callable[[int], pa.Table | None]
"""Gives a trial's jobs table, or None where it left none."""


def chosen_of(result: CampaignResult, quality: FrontFindings | None) -> TrialRecord | None:
    """Return the point of the front that the report looks at most closely; None without one."""
    if quality and quality.chosen:
        return quality.chosen
    return next((one for one in result.front if not one.baseline), None)


def schedule_charts(result: CampaignResult, chosen: TrialRecord | None, jobs: Jobs) -> list[Chart]:
    """Return waits, use and queue of the chosen point beside the baseline's."""
    baseline = result.baseline
    if chosen is None or baseline is None or chosen.number == baseline.number:
        return []
    compared = ((baseline, "baseline"), (chosen, f"trial {chosen.number}"))
    found = []
    for record, name in compared:
        table = jobs(record.number)
        slots = nodes_of(record, result.facts) * result.facts.slots_per_node
        tone: Tone = "baseline" if record is baseline else "front"
        if table is not None and (one := TrialSchedule.of(name, tone, table, slots)):
            found.append(one)
    return over_time(found) if len(found) == len(compared) else []


def gantt_charts(
    result: CampaignResult, chosen: TrialRecord | None, jobs: Jobs
) -> list[tuple[TrialRecord, str]]:
    """Return Gantt charts of the front's points and of the baseline, as far as a page has room.

    The chosen point and the baseline come first, then points evenly over the front.
    """
    front = [first for first, _ in alike(result.front, result.facts.objectives)]
    wanted = [one for one in (chosen, result.baseline) if one is not None]
    wanted += [one for one in spread_over(front, MOST_CHARTS) if one not in wanted]
    left = MOST_BYTES
    drawn = []
    for record in wanted[:MOST_CHARTS]:
        table = jobs(record.number)
        if table is None or not chartable(table):
            continue
        chart = gantt_svg(
            table, slots_per_node=result.facts.slots_per_node, title=_title(record), alone=False
        )
        if len(chart) <= left:
            left -= len(chart)
            drawn.append((record, chart))
    return drawn


def spread_over(best: Sequence[TrialRecord], most: int) -> list[TrialRecord]:
    """Return at most `most` (two or more) of the front's trials: both ends and evenly between."""
    if len(best) <= most:
        return list(best)
    return [best[round(index * (len(best) - 1) / (most - 1))] for index in range(most)]


def handed_over(result: CampaignResult, chosen: TrialRecord | None) -> list[TrialRecord]:
    """Return the points that a site would take: the chosen one, and the best one on unseen jobs."""
    best = result.unseen.best.record if result.unseen else None
    found = {one.number: one for one in (best, chosen) if one is not None and not one.baseline}
    return list(found.values())


def changed_settings(result: CampaignResult, chosen: TrialRecord | None) -> Table | None:
    """Return what these points set otherwise than the baseline; None where there is nothing.

    A setting that a point doesn't have shows a dash.
    """
    points = handed_over(result, chosen)
    baseline = result.baseline
    if not points or baseline is None:
        return None
    compared = [baseline, *points]
    rows = tuple(
        (short(name), *(shown(one.point.get(name)) for one in compared))
        for name in dict.fromkeys(name for one in compared for name in one.point)
        if any(one.point.get(name) != baseline.point.get(name) for one in points)
    )
    heads = (f"trial {one.number}" for one in points)
    return Table(("setting", "baseline", *heads), rows) if rows else None


def commands_of(result: CampaignResult, chosen: TrialRecord | None) -> Iterator[str]:
    """Yield the commands that hand the first of these points over to a site."""
    for record in handed_over(result, chosen)[:1]:
        scheduler = record.point.get(SCHEDULER) or record.provenance.scheduler
        trial = f"{result.facts.campaign}:{record.number}"
        if scheduler == WITH_A_FILE:
            yield f"hpc-campaign export config {trial} --against slurm.conf"
            yield f"hpc-campaign export ansible {trial} --against slurm.conf"


def _title(record: TrialRecord) -> str:
    point = ", ".join(f"{short(name)}={shown(value)}" for name, value in record.point.items())
    baseline = " (baseline)" if record.baseline else ""
    return f"trial {record.number}{baseline}: {point}"
