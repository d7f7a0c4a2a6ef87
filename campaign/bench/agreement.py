"""Run the same workloads on the real scheduler and in simulation, and compare the two.

The real one runs in virtual time, where each trial has one result, or on virtual machines in real
time. The simulation's delays are fitted to one workload and tested on others.
"""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.bench.agreement_table import as_json, as_table, as_text
from campaign.bench.kept_jobs import KeptJobs
from campaign.bench.results import BenchmarkResults
from campaign.config.compose import Composed, compose
from campaign.core.errors import BenchmarkError
from campaign.core.jobs import Workload, tau_of
from campaign.core.testbed import Testbed
from campaign.core.trials import Evaluation, Point, Trial
from campaign.schema.settings import Scalar
from campaign.simulation.calibration import CalibrationCase, fit
from campaign.simulation.engine import Delays, Nodes
from campaign.testbeds.libvirt import LibvirtBackend
from campaign.testbeds.preflight import workload_for
from search.space import PARAMS

SHARED = (
    "name=agreement",
    "testbed=virtual-time",
    "cluster.nodes=32",
    "workload.jobs=200",
    "workload.load=1.0",
    "workload.max_runtime_s=14400",
    "search.batch=2",
)
FITTED_ON = ("workload=lublin", "workload.seed=5")
TESTED_ON = (("workload=lublin", "workload.seed=7"), ("workload=downey", "workload.seed=11"))
SLURMS_OWN: Point = {"SchedulerType": "sched/backfill", "bf_interval": 30, "sched_interval": 60}
"""The parameters that a campaign searches if nothing is said, at Slurm's own defaults."""
FITTED_AT: tuple[Point, ...] = ({}, {"SchedulerType": "sched/builtin"})
TESTED_AT: tuple[Point, ...] = (
    {},
    {"SchedulerType": "sched/builtin"},
    {"bf_interval": 120},
    {"bf_window": 60},
    {"bf_max_job_test": 5},
    {"PriorityWeightJobSize": 1000},
)
"""The points that are measured of each workload: what differs from Slurm's defaults."""
KERNEL_S = 0.004
"""Between two ticks of the kernel in our images."""
ATTEMPTS = 2
POLL_S = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Planned:
    """A trial to be measured, in whose case the jobs are still missing."""

    trial: Trial
    workload: Workload
    case: Callable[[pa.Table, float | None, float | None], CalibrationCase]
    identity: str


def run(overrides: Sequence[str], folder: Path, rounds: int) -> BenchmarkResults:
    """Measure each point on all workloads, fit the delays to the first one, compare.

    In virtual time, once is enough; in real time each is measured `rounds` times. Jobs that were
    measured are kept in `folder`/agreement, and no trial that is there is measured again. Raises
    BenchmarkError where a trial has no valid result.
    """
    campaigns = [compose([*SHARED, *one, *overrides]) for one in (FITTED_ON, *TESTED_ON)]
    planned = list(_planned(campaigns, rounds))
    kept = KeptJobs(folder / "agreement")
    _measure(campaigns[0], planned, kept)
    cases = [
        one.case(kept.read(one.identity), kept.lead_s(one.identity), kept.clock_s(one.identity))
        for one in planned
    ]
    fitted_on = [case for case in cases if case.workload is cases[0].workload]
    tested_on = cases[len(fitted_on) :]
    delays = fit(fitted_on, Delays(kernel_s=KERNEL_S))
    jobs = io.BytesIO()
    pq.write_table(as_table(fitted_on, tested_on), jobs)
    table = as_text(fitted_on, tested_on, delays)
    return BenchmarkResults.of(
        table,
        agreement_txt=table,
        agreement_json=as_json(fitted_on, tested_on, delays),
        agreement_parquet=jobs.getvalue(),
    )


def _planned(campaigns: Sequence[Composed], rounds: int) -> Iterator[_Planned]:
    """Yield the trials of each campaign's workload, numbered through; the first one's for fitting.

    The campaigns differ in the workload alone.
    """
    repetitions = 1 if campaigns[0].campaign.testbed.deterministic else rounds
    number = 0
    for composed in campaigns:
        workload = workload_for(composed.campaign, composed.schedulers, composed.space)
        points = FITTED_AT if composed is campaigns[0] else TESTED_AT
        for repetition in range(repetitions):
            for changed in points:
                yield _trial(composed, workload, changed, number, repetition)
                number += 1


def _trial(
    composed: Composed, workload: Workload, changed: Point, number: int, repetition: int
) -> _Planned:
    campaign = composed.campaign
    point = {f"{PARAMS}.{name}": value for name, value in {**SLURMS_OWN, **changed}.items()}
    nodes = Nodes(composed.space.nodes(point), campaign.cluster.slots_per_node)
    params = composed.scheduler.Params(**composed.space.params(point))

    def case(jobs: pa.Table, lead_s: float | None, clock_s: float | None) -> CalibrationCase:
        return CalibrationCase(
            label=_label(changed),
            workload=workload,
            nodes=nodes,
            policy=composed.scheduler.policy(params),
            jobs=jobs,
            tau_s=tau_of(campaign.workload.time_scale),
            lead_s=lead_s,
            clock_s=clock_s,
        )

    identity: dict[str, Scalar] = {
        "testbed": campaign.testbed.kind,
        "workload": workload.hash,
        "nodes": nodes.count,
        "slots": nodes.slots,
        "repetition": repetition,
        **params.model_dump(),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return _Planned(Trial(number=number, point=point), workload, case, digest)


def _measure(first: Composed, planned: Sequence[_Planned], kept: KeptJobs) -> None:
    """Measure the trials that are not `kept` yet, as many at once as the first campaign allows."""
    missing = [one for one in planned if one.identity not in kept]
    if not missing:
        return
    backend = LibvirtBackend(first.campaign, first.schedulers, first.space)
    workloads = {one.trial.number: one.workload for one in planned}
    with ExitStack() as stack:
        backend.prepare({})
        backend.check()
        # All trials run on one testbed, where a trial's number says which workload it has.
        testbed = backend.open_for(stack, lambda trial: workloads[trial.number])
        at_once = first.campaign.testbed.parallel
        waiting = [one.trial for one in missing]
        identities = {one.trial.number: one.identity for one in missing}
        for trial, evaluation in _evaluated(testbed, waiting, at_once):
            facts = evaluation.provenance
            identity = identities[trial.number]
            kept.write(identity, evaluation.jobs, facts.lead_s, facts.clock_s)
            _log.info("trial %d is done: %s", trial.number, _label(trial.point))


def _evaluated(
    testbed: Testbed, waiting: list[Trial], at_once: int
) -> Iterator[tuple[Trial, Evaluation]]:
    """Yield a valid evaluation of each trial; raise BenchmarkError when there is none."""
    running = 0
    while waiting or running:
        while waiting and running < at_once and testbed.room():
            trial = waiting.pop(0)
            _log.info("trial %d: %s", trial.number, _label(trial.point))
            testbed.start(trial)
            running += 1
        for trial, evaluation in testbed.wait(POLL_S):
            running -= 1
            if evaluation.outcome == "ok" and evaluation.jobs is not None:
                yield trial, evaluation
            elif trial.attempt >= ATTEMPTS:
                raise BenchmarkError(
                    f"trial {trial.number} was {evaluation.outcome}: {evaluation.reason}"
                )
            else:
                waiting.insert(0, trial.model_copy(update={"attempt": trial.attempt + 1}))


def _label(point: Point) -> str:
    named = [f"{path.rpartition('.')[2]}={value}" for path, value in point.items()]
    return ", ".join(named) or "Slurm's defaults"
