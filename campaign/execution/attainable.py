"""Metrics that a workload can't give are refused before the first trial, not found in each."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.analysis.metrics import ClusterFacts, without_value
from campaign.config.compose import Composed
from campaign.config.ladder import SETTING, rehearsal_of
from campaign.core.errors import ConfigError
from campaign.core.jobs import JOBS_SCHEMA, WORKLOAD_SCHEMA, Workload
from campaign.core.metric_names import is_hooks
from campaign.core.phases import Phase


def check_metrics(composed: Composed, workload: Workload) -> None:
    """Raise ConfigError for a metric that settings name and of which no trial could have a value.

    That is judged by the best schedule that there can be: each job starts when it arrives.
    """
    campaign = composed.campaign
    nodes = composed.space.node_counts()[0]
    facts = ClusterFacts.of(campaign, nodes)
    phases = {} if campaign.testbed.deterministic else {Phase.WORKLOAD: 1.0}
    wanted = {name: path for name, path in campaign.named_metrics.items() if not is_hooks(name)}
    absent = without_value(wanted, _at_once(workload), facts, phases, workload)
    if not absent:
        return
    lines = [
        f"{wanted[name]}: no trial of the workload {workload.name} can have a value: {why} "
        f"(from {composed.origins.of(wanted[name])})"
        for name, why in absent.items()
    ]
    several = f"{len(lines)} metrics that no trial can have"
    raise ConfigError(
        lines[0] if len(lines) == 1 else several,
        "" if len(lines) == 1 else "\n".join(f"  {line}" for line in lines),
        "Use other metrics (docs/metrics.md lists them), or a workload and a testbed that give "
        "these.",
    )


def check_rehearsals(composed: Composed, workload: Workload) -> None:
    """Raise ConfigError for a metric that no rehearsal could have a value of."""
    campaign = composed.campaign
    if not campaign.search.ladder:
        return
    named = (*campaign.objectives, *campaign.search.constraints)
    if own := [name for name in named if is_hooks(name)]:
        raise ConfigError(
            f"{SETTING}: no hook is called for what is tried in simulation, so nothing there has "
            f"a value of {own[0]}",
            resolution=f"Use other objectives and constraints, or leave {SETTING} out.",
        )
    try:
        check_metrics(replace(composed, campaign=rehearsal_of(campaign)), workload)
    except ConfigError as error:
        raise ConfigError(
            f"{SETTING}: in simulation, {error.brief}",
            error.details,
            f"{error.resolution} Or leave {SETTING} out.",
        ) from None


def _at_once(workload: Workload) -> pa.Table:
    """Return the jobs table (JOBS_SCHEMA) of a schedule in which no job waits."""
    arrival = _ns(workload, "arrival_s")
    end = arrival + _ns(workload, "runtime_s")
    known = {
        **{name: workload.table.column(name) for name in WORKLOAD_SCHEMA.names},
        **dict.fromkeys(("intended_ns", "submit_ns", "accepted_ns", "start_ns"), arrival),
        "all_started_ns": arrival,
        "end_ns": end,
        "exit_code": np.zeros(len(workload), np.int32),
    }
    unknown = {
        field.name: pa.nulls(len(workload), field.type)
        for field in JOBS_SCHEMA
        if field.name not in known
    }
    return pa.table(known | unknown).select(JOBS_SCHEMA.names).cast(JOBS_SCHEMA)


def _ns(workload: Workload, column: str) -> NDArray[np.int64]:
    seconds: NDArray[np.float64] = workload.table.column(column).to_numpy()
    return np.rint(seconds * 1e9).astype(np.int64)
