"""Run the same workloads on virtual machines and in simulation, and compare the two.

The simulation's delays are fitted to one workload and tested on another.
"""

import io
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from campaign.bench.results import BenchmarkResults
from campaign.bench.validation_table import as_json, as_table, as_text
from campaign.config.compose import Composed, compose
from campaign.core.errors import BenchmarkError
from campaign.core.jobs import tau_of
from campaign.core.testbed import Testbed
from campaign.core.trials import Evaluation, Point, Trial
from campaign.simulation.calibration import CalibrationCase, fit
from campaign.simulation.engine import Nodes
from campaign.testbeds.libvirt import LibvirtBackend
from campaign.testbeds.preflight import workload_for
from search.space import NODES, PARAMS

SHARED = ("name=validation", "cluster.nodes=[2,4]")
FITTED_ON = (*SHARED, "workload=demo", "workload.seed=21")
TESTED_ON = (*SHARED, "workload=demo")
POINTS = (
    (2, "sched/backfill", 2),
    (3, "sched/builtin", 30),
    (4, "sched/backfill", 10),
)
"""The points that are measured of each workload: compute nodes, SchedulerType, bf_interval."""
ATTEMPTS = 2
POLL_S = 0.5

_log = logging.getLogger(__name__)


def run(overrides: Sequence[str], folder: Path, rounds: int) -> BenchmarkResults:
    """Measure each point `rounds` times on both workloads, fit the delays to one, compare.

    Nothing is written to `folder`. Raises BenchmarkError where a trial has no valid result.
    """
    fitted_on, tested_on = _measure(
        [compose([*one, *overrides]) for one in (FITTED_ON, TESTED_ON)], rounds
    )
    delays = fit(fitted_on)
    jobs = io.BytesIO()
    pq.write_table(as_table(fitted_on, tested_on), jobs)
    table = as_text(fitted_on, tested_on, delays)
    return BenchmarkResults.of(
        table,
        validation_txt=table,
        validation_json=as_json(fitted_on, tested_on, delays),
        validation_parquet=jobs.getvalue(),
    )


def _measure(campaigns: Sequence[Composed], rounds: int) -> list[list[CalibrationCase]]:
    """Measure the points of each campaign's workload, on the virtual machines of the first one.

    The campaigns differ in the workload alone.
    """
    workloads = [
        workload_for(composed.campaign, composed.schedulers, composed.space)
        for composed in campaigns
    ]
    points = [_point(*point) for point in POINTS] * rounds
    first = campaigns[0]
    backend = LibvirtBackend(first.campaign, first.schedulers, first.space)
    with ExitStack() as stack:
        backend.prepare({})
        backend.check()
        # All trials run on one testbed, where a trial's number says which workload it has.
        testbed = backend.open_for(stack, lambda trial: workloads[trial.number // len(points)])
        trials = (
            Trial(number=number, point=point)
            for number, point in enumerate(points * len(campaigns))
        )
        return [
            [
                _case(composed, trial, _evaluated(testbed, trial))
                for trial in islice(trials, len(points))
            ]
            for composed in campaigns
        ]


def _point(nodes: int, scheduler_type: str, bf_interval: int) -> Point:
    return {
        NODES: nodes,
        f"{PARAMS}.SchedulerType": scheduler_type,
        f"{PARAMS}.bf_interval": bf_interval,
    }


def _evaluated(testbed: Testbed, trial: Trial) -> Evaluation:
    """Return a valid evaluation of the trial; raise CampaignError when there is none."""
    for attempt in range(1, ATTEMPTS + 1):
        _log.info("trial %d: %s", trial.number, _label(trial))
        testbed.start(trial.model_copy(update={"attempt": attempt}))
        while not (ended := testbed.wait(POLL_S)):
            time.sleep(0.01)
        ((_, evaluation),) = ended
        if evaluation.outcome == "ok" and evaluation.jobs is not None:
            return evaluation
    raise BenchmarkError(f"trial {trial.number} was {evaluation.outcome}: {evaluation.reason}")


def _case(composed: Composed, trial: Trial, evaluation: Evaluation) -> CalibrationCase:
    campaign = composed.campaign
    space = composed.space
    scheduler = composed.scheduler
    return CalibrationCase(
        label=_label(trial),
        workload=workload_for(composed.campaign, composed.schedulers, composed.space),
        nodes=Nodes(space.nodes(trial.point), campaign.cluster.slots_per_node),
        policy=scheduler.policy(scheduler.Params(**space.params(trial.point))),
        jobs=evaluation.jobs,
        tau_s=tau_of(campaign.workload.time_scale),
    )


def _label(trial: Trial) -> str:
    return ", ".join(f"{path.rpartition('.')[2]}={value}" for path, value in trial.point.items())
