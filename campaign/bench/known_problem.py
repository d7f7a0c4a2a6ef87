"""A problem of the comparison of samplers, known in whole: every point is simulated once."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from campaign.analysis.front.costs import TrialCosts
from campaign.analysis.front.hypervolume import VolumeBox, growth
from campaign.analysis.front.resampling import Floats
from campaign.analysis.metrics import ClusterFacts, compute
from campaign.config.compose import Composed
from campaign.core.errors import BenchmarkError
from campaign.core.jobs import tau_of
from campaign.core.trials import Point, Trial, TrialRecord
from campaign.records.replicates import ReplicateRule, combined
from campaign.schema.search import SamplerSettings
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.preflight import workloads_for
from search.distinct import PointKey, key_of, points_of, size_of
from search.opening import Opening
from search.pareto import front
from search.study import Study, seed_for

MOST_POINTS = 5000
"""More would take minutes to simulate."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownProblem:
    """A problem with the outcome of each of its points, by the point's key.

    With several instances, an outcome is the mean over them, and has them as its replicates.
    """

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

    def seen(self, point: Point, seed: int, number: int) -> TrialRecord:
        """Return what a search with a seed sees of a point in a trial: one instance by chance."""
        whole = self.outcome(point)
        if not whole.replicates:
            return whole
        return whole.replicates[seed_for(seed, number) % len(whole.replicates)]

    def evaluated(self, study: Study, seed: int, trials: int) -> Iterator[TrialRecord]:
        """Yield the outcomes of so many trials that a study asks for and is told of, in order."""
        for number in range(trials):
            suggestion = study.ask()
            seen = self.seen(suggestion.point, seed, number)
            if seen.valid:
                study.tell(number, seen.metrics, baseline=number == 0)
            else:
                study.fail(number)
            update = {"number": number, "baseline": number == 0}
            yield self.outcome(suggestion.point).model_copy(update=update)

    def whole(self) -> tuple[Floats, VolumeBox]:
        """Return the costs of the points on the front, and the box around it.

        Raises BenchmarkError where no point is feasible.
        """
        campaign = self.composed.campaign
        key = key_of(self.composed.baseline.point)
        everything = [
            one.model_copy(update={"baseline": at == key}) for at, one in self.outcomes.items()
        ]
        limits = campaign.search.constraints
        every = TrialCosts.of(everything, campaign.objectives, limits)
        best = TrialCosts.of(front(everything, campaign.objectives, limits), campaign.objectives)
        if not len(best.costs):
            raise BenchmarkError(f"{self.name}: none of its points is feasible")
        return best.costs, VolumeBox.around(best.costs, every.costs)


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
    workloads = workloads_for(composed.campaign, composed.schedulers, space)
    testbed = SimulationTestbed(composed.campaign, composed.schedulers, space, *workloads)
    rule = ReplicateRule(len(workloads))
    outcomes = {}
    for number, point in enumerate(points_of(space)):
        replicates = [
            _record(composed, testbed, Trial(number=number, point=point, instance=instance))
            for instance in range(len(workloads))
        ]
        outcomes[key_of(point)] = combined(replicates, rule)
    return KnownProblem(name, composed, outcomes)


def searched(
    problem: KnownProblem, sampler: SamplerSettings, seed: int, trials: int | None = None
) -> list[TrialRecord]:
    """Return the trials of one search, in their order; by default as many as the problem wants."""
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
    return list(problem.evaluated(study, seed, trials or problem.trials))


def curve(problem: KnownProblem, records: Sequence[TrialRecord], box: VolumeBox) -> Iterator[float]:
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
        instance=trial.instance,
    )
