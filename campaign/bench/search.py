"""Compare the samplers by the hypervolume that they reach, on simulated problems known in whole.

The space of each problem is finite and small enough that all of its points are simulated once.
The best that a search could do is known then, and a search costs no more than looking up values.
A round is a seed: every sampler searches every problem with it, from the same baseline.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaign.analysis.front.costs import TrialCosts
from campaign.analysis.front.hypervolume import VolumeBox, attained, growth
from campaign.analysis.metrics import ClusterFacts, compute
from campaign.bench.results import BenchmarkResults
from campaign.bench.search_table import SEARCHED, ProblemFigures, SearchRun, as_json, as_text
from campaign.config.compose import Composed, compose
from campaign.core.errors import BenchmarkError
from campaign.core.jobs import tau_of
from campaign.core.trials import Point, Trial, TrialRecord
from campaign.schema.search import SamplerSettings
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.preflight import workload_for
from search.distinct import PointKey, key_of, points_of, size_of
from search.opening import Opening
from search.pareto import front
from search.study import Study

SHARED = ("name=bench-search", "testbed=simulation", "cluster.slots_per_node=4")
PROBLEMS: Mapping[str, tuple[str, ...]] = {
    "two delays": (
        "workload=lublin",
        "workload.jobs=150",
        "workload.load=1.1",
        "cluster.nodes=[12,16]",
        "scheduler.params.SchedulerType=sched/backfill",
        "scheduler.params.bf_interval={low:5,high:290,step:15,log:false}",
        "scheduler.params.sched_interval={low:5,high:290,step:15,log:false}",
    ),
    "weights": (
        "workload=lublin",
        "workload.jobs=150",
        "workload.seed=3",
        "workload.load=1.3",
        "cluster.nodes=16",
        "~objectives",
        "+objectives={wait_p95_s: minimize, bounded_slowdown_mean: minimize, awrt_s: minimize}",
        "scheduler.params.SchedulerType=sched/backfill",
        "scheduler.params.bf_interval=30",
        "scheduler.params.sched_interval=60",
        "++scheduler.params.PriorityWeightJobSize={low:0,high:1000,step:200,log:false}",
        "++scheduler.params.PriorityWeightAge={low:0,high:1000,step:200,log:false}",
        "++scheduler.params.bf_max_job_test={low:1,high:46,step:3,log:false}",
    ),
    "constrained": (
        "workload=downey",
        "workload.jobs=150",
        "workload.load=1.0",
        "cluster.nodes=[8,24]",
        "scheduler.params.SchedulerType=sched/backfill",
        "scheduler.params.bf_interval={low:5,high:290,step:15,log:false}",
        "scheduler.params.sched_interval=60",
        "++scheduler.params.bf_max_job_test={low:1,high:46,step:15,log:false}",
        "search.constraints.wait_p95_s.max_x_baseline=1.1",
    ),
    "two schedulers": (
        "workload=lublin",
        "workload.jobs=150",
        "workload.seed=5",
        "workload.load=1.1",
        "scheduler=slurm-flux",
        "cluster.nodes=[12,16]",
        "scheduler.arms.slurm.bf_interval={low:5,high:290,step:30,log:false}",
        "scheduler.arms.slurm.sched_interval={low:5,high:290,step:30,log:false}",
        "scheduler.arms.flux.queue_depth={low:1,high:96,step:5,log:false}",
    ),
}
"""Problems by name, and their settings: few objectives and many, a constraint, a choice of arms."""
MOST_POINTS = 5000
"""More would take minutes to simulate."""
DEFAULT_TRIALS = 60

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownProblem:
    """A problem with the outcome of each of its points, by the point's key."""

    name: str
    composed: Composed
    outcomes: Mapping[PointKey, TrialRecord]

    @property
    def trials(self) -> int:
        """How many trials a search has, at most half of the space."""
        wanted = self.composed.campaign.search.trials
        return min(wanted, len(self.outcomes) // 2)

    def outcome(self, point: Point) -> TrialRecord:
        """Return the record of a point."""
        return self.outcomes[key_of(point)]


def run(overrides: Sequence[str], folder: Path, rounds: int) -> BenchmarkResults:
    """Search each problem with each sampler and `rounds` seeds.

    `overrides` hold for all problems; `search.trials` is the length of a search, `sampler=NAME`
    leaves the others out. Raises BenchmarkError for a space that can't be gone through.
    """
    figures = []
    names = tuple(one.removeprefix("sampler=") for one in overrides if one.startswith("sampler="))
    settings = [one for one in overrides if not one.startswith("sampler=")]
    if not any(one.startswith("search.trials=") for one in settings):
        settings.append(f"search.trials={DEFAULT_TRIALS}")
    for name, own in PROBLEMS.items():
        problem = known(name, compose([*SHARED, *own, *settings]))
        figures.append(_figures(problem, names or SEARCHED, rounds))
        _log.info("%s: done", name)
    table = as_text(figures)
    return BenchmarkResults.of(table, search_txt=table, search_json=json.dumps(as_json(figures)))


def known(name: str, composed: Composed) -> KnownProblem:
    """Simulate all points of a problem; raise BenchmarkError where they are too many."""
    space = composed.space
    size = size_of(space)
    if size > MOST_POINTS:
        raise BenchmarkError(
            f"{name}: its space has {size:g} points, more than {MOST_POINTS}",
            resolution="Search choices, or narrower ranges.",
        )
    _log.info("%s: simulating its %d points", name, size)
    workload = workload_for(composed.campaign, composed.schedulers, space)
    testbed = SimulationTestbed(composed.campaign, composed.schedulers, space, workload)
    outcomes = {
        key_of(point): _record(composed, testbed, Trial(number=number, point=point))
        for number, point in enumerate(points_of(space))
    }
    return KnownProblem(name, composed, outcomes)


def searched(problem: KnownProblem, sampler: SamplerSettings, seed: int) -> list[TrialRecord]:
    """Return the trials of one search, in their order."""
    campaign = problem.composed.campaign
    study = Study(
        problem.composed.space,
        campaign.objectives,
        campaign.search.constraints,
        sampler,
        seed,
        opening=Opening(baseline=problem.composed.baseline.point),
        distinct=True,
    )
    records = []
    for number in range(problem.trials):
        suggestion = study.ask()
        found = problem.outcome(suggestion.point)
        record = found.model_copy(update={"number": number, "baseline": number == 0})
        records.append(record)
        if record.valid:
            study.tell(number, record.metrics, baseline=record.baseline)
        else:
            study.fail(number)
    return records


def _figures(problem: KnownProblem, samplers: Sequence[str], rounds: int) -> ProblemFigures:
    campaign = problem.composed.campaign
    key = key_of(problem.composed.baseline.point)
    everything = [
        one.model_copy(update={"baseline": at == key}) for at, one in problem.outcomes.items()
    ]
    limits = campaign.search.constraints
    whole = TrialCosts.of(everything, campaign.objectives, limits)
    best = TrialCosts.of(front(everything, campaign.objectives, limits), campaign.objectives)
    if not len(best.costs):
        raise BenchmarkError(f"{problem.name}: none of its points is feasible")
    box = VolumeBox.around(best.costs, whole.costs)
    searches = {
        name: [_searched_with(problem, name, seed) for seed in range(1, rounds + 1)]
        for name in samplers
    }
    runs = [
        SearchRun(name, seed, tuple(_curve(problem, records, box)))
        for name, many in searches.items()
        for seed, records in enumerate(many, 1)
    ]
    return ProblemFigures(
        problem.name,
        points=len(everything),
        front=len(np.unique(best.costs, axis=0)),
        objectives=tuple(campaign.objectives),
        whole=box.volume(best.costs),
        half={name: _by_half(problem, many, box) for name, many in searches.items()},
        runs=tuple(runs),
    )


def _searched_with(problem: KnownProblem, name: str, seed: int) -> list[TrialRecord]:
    settings = problem.composed.campaign.sampler.model_copy(update={"name": name})
    return searched(problem, settings, seed)


def _by_half(
    problem: KnownProblem, searches: Sequence[Sequence[TrialRecord]], box: VolumeBox
) -> float:
    """Return the hypervolume of what at least half of some searches attained."""
    campaign = problem.composed.campaign
    found = [
        TrialCosts.of(records, campaign.objectives, campaign.search.constraints).costs
        for records in searches
    ]
    return box.volume(attained(found, [0.5])[0.5])


def _curve(
    problem: KnownProblem, records: Sequence[TrialRecord], box: VolumeBox
) -> Iterator[float]:
    """Yield the hypervolume after each trial of a search, feasible or not."""
    campaign = problem.composed.campaign
    measured = TrialCosts.of(records, campaign.objectives, campaign.search.constraints)
    volumes = dict(
        zip((one.number for one in measured.records), growth(measured.costs, box), strict=True)
    )
    reached = 0.0
    for record in records:
        reached = volumes.get(record.number, reached)
        yield reached


def _record(composed: Composed, testbed: SimulationTestbed, trial: Trial) -> TrialRecord:
    campaign = composed.campaign
    evaluation = testbed.evaluate(trial)
    metrics: Mapping[str, float] = {}
    if evaluation.jobs is not None:
        facts = ClusterFacts.of(campaign, composed.space.nodes(trial.point))
        tau_s = tau_of(campaign.workload.time_scale)
        metrics = compute(evaluation.jobs, facts, {}, tau_s=tau_s).values
    missing = any(name not in metrics for name in campaign.objectives)
    return TrialRecord(
        number=trial.number,
        point=trial.point,
        attempt=1,
        outcome="invalid" if missing else evaluation.outcome,
        metrics=dict(metrics),
    )
