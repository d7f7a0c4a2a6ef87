"""What MLflow is told of a campaign as a whole: how its front grew, and the view of its runs."""

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from campaign.analysis.front.costs import TrialCosts
from campaign.analysis.front.hypervolume import volume_history
from campaign.analysis.front.resampling import Floats
from campaign.core.trials import TrialRecord
from campaign.report.facts import short
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from campaign.tracking.run_values import milliseconds, mlflow_name
from campaign.tracking.trial_runs import MetricPoint
from search.pareto import front

FRONT_SIZE = "front_size"
HYPERVOLUME = "hypervolume"
BASELINE = "baseline"


def points_of(
    records: Sequence[TrialRecord],
    objectives: Mapping[str, Direction],
    constraints: Mapping[str, Bound],
) -> list[MetricPoint]:
    """Return the metrics of a campaign's own run; a step is a trial's number.

    They are the best value of each objective so far, by the objective's name; the number of points
    of the front (FRONT_SIZE; equal ones count once), its HYPERVOLUME (as in the report); and the
    baseline's values, `baseline.<objective>`. Steps at which nothing changes are left out, but for
    those right before a change and for the last.
    """
    if not records or len(objectives) == 0:
        return []
    measured = TrialCosts.of(records, objectives, constraints)
    members = front(records, objectives, constraints)
    baseline = next((one for one in records if one.baseline and one.valid), None)
    series = {mlflow_name(name): column for name, column in _best(measured)}
    if measured.records:
        series[FRONT_SIZE] = list(map(float, _sizes(measured.costs)))
    if len(objectives) > 1 and (found := volume_history(measured, members, records, baseline)):
        series[HYPERVOLUME] = list(found.volumes)
    plotted = [
        MetricPoint(name, values[at], milliseconds(one.ended), one.number)
        for name, values in series.items()
        for at in _turns(values)
        for one in [measured.records[at]]
    ]
    return [*plotted, *_baseline(baseline, objectives)]


def _best(measured: TrialCosts) -> Iterator[tuple[str, list[float]]]:
    if not measured.records:
        return
    best = np.minimum.accumulate(measured.costs, axis=0) * measured.signs
    for name, column in zip(measured.objectives, best.T, strict=True):
        yield name, column.tolist()


def _sizes(costs: Floats) -> Iterator[int]:
    """Yield the number of points of the front of each row and those before it."""
    best = np.empty((0, costs.shape[1]))
    for row in costs:
        if not np.any(np.all(best <= row, axis=1)):
            best = np.vstack([best[~np.all(best >= row, axis=1)], row])
        yield len(best)


def _turns(values: Sequence[float]) -> list[int]:
    """Return where values change, the places right before that, the first and the last."""
    changed = [at for at in range(1, len(values)) if values[at] != values[at - 1]]
    return sorted({0, len(values) - 1, *changed, *(at - 1 for at in changed)})


def _baseline(
    baseline: TrialRecord | None, objectives: Mapping[str, Direction]
) -> Iterator[MetricPoint]:
    for name in objectives if baseline else ():
        if baseline and name in baseline.metrics:
            at = milliseconds(baseline.ended)
            yield MetricPoint(f"{BASELINE}.{mlflow_name(name)}", baseline.metrics[name], at, 0)


def view_state(
    objectives: Mapping[str, Direction], searched: Sequence[str], *, simulated: bool
) -> str:
    """Return the view in which MLflow's pages open the experiment, for the tag VIEW_TAG.

    It is a table, the best trial in the first objective above: what the trials were measured at,
    their searched settings, what is special about them, how real they were, and the hash of what
    they ran: the image, or in a simulation the workload.
    """
    metrics = [f"metrics.`{mlflow_name(name)}`" for name in objectives]
    params = [f"params.`{short(name)}`" for name in searched]
    ran = "workload_hash" if simulated else "image_hash"
    tags = [f"tags.`{name}`" for name in ("front", BASELINE, "outcome", "fidelity", ran)]
    first = next(iter(objectives), "")
    state = {
        "selectedColumns": [*metrics, *params, *tags],
        "orderByKey": f"metrics.`{mlflow_name(first)}`",
        "orderByAsc": objectives.get(first) == "minimize",
        "runsExpanded": {},
    }
    return json.dumps(state, separators=(",", ":"))
