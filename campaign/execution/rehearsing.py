"""Tries points on the cheap rung of a ladder (`search.ladder`), before the first is promoted.

Each is one line of the ledger, written once its values are known: a driver that dies loses the
point that it was at, and the next one asks for the same. No jobs are kept: whoever wants to see
them simulates the point.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from campaign.config.compose import Composed
from campaign.config.ladder import rehearsal_of, rehearsals
from campaign.core.jobs import Workload
from campaign.core.trials import Trial, TrialRecord
from campaign.execution.ending import trials_of
from campaign.execution.judging import judge
from campaign.records.history import History
from campaign.records.ledger import Ledger, building_up
from campaign.records.replicates import combined
from campaign.schema.model import Campaign
from campaign.simulation.testbed import SimulationTestbed
from search.distinct import size_of
from search.ladder import Ladder, Rehearsed
from search.space import Space
from search.study import Study, Suggestion

TOLD_EVERY_S = 30.0
"""How often the log says how many points have been tried."""
_log = logging.getLogger(__name__)


def ladder_of(campaign: Campaign, space: Space, history: History) -> Ladder | None:
    """Return the ladder of a campaign, with its valid rehearsals; None where it has none."""
    if not campaign.search.ladder:
        return None
    pool = [
        Rehearsed(space.effective(one.record.point), one.record.metrics)
        for one in history.rehearsals
        if one.record.valid
    ]
    return Ladder(space, campaign.objectives, campaign.search.constraints, pool)


def rehearsed(composed: Composed, ledger: Ledger, workloads: Sequence[Workload]) -> int:
    """Rehearse as many points as there are to be, if there are; return how many trials follow."""
    trials = trials_of(composed, ledger.history)
    if composed.campaign.search.ladder and len(ledger.history.asked) < trials:
        rehearse(composed, ledger, workloads)
    return trials


def rehearse(composed: Composed, ledger: Ledger, workloads: Sequence[Workload]) -> None:
    """Try as many points in simulation as there are to be rehearsed, unless that has been done."""
    history = ledger.history
    wanted = int(min(rehearsals(composed.campaign), size_of(composed.space)))
    if len(history.rehearsals) >= wanted:
        return
    _log.info(
        "rehearsal: %d points are tried in simulation before any is promoted",
        wanted - len(history.rehearsals),
    )
    rung = _Rung.of(composed, workloads)
    study = _study(composed, history)
    told = time.monotonic()
    while len(history.rehearsals) < wanted:
        suggestion = study.ask()
        record = rung.tried(suggestion, history)
        ledger.append(
            "rehearsed",
            rehearsal=suggestion.number,
            attrs=suggestion.attrs,
            record=record.model_dump(mode="json"),
        )
        _tell(study, record)
        if time.monotonic() - told > TOLD_EVERY_S:
            told = time.monotonic()
            _log.info("rehearsal: %d of %d points done", len(history.rehearsals), wanted)
    valid = sum(one.record.valid for one in history.rehearsals)
    _log.info("rehearsal: %d of %d points have values", valid, wanted)


@dataclass(frozen=True)
class _Rung:
    """The cheap rung of a campaign's ladder, and the instances that its search sees."""

    campaign: Campaign
    space: Space
    testbed: SimulationTestbed
    workloads: Sequence[Workload]

    @classmethod
    def of(cls, composed: Composed, workloads: Sequence[Workload]) -> Self:
        campaign = rehearsal_of(composed.campaign)
        seen = workloads[: campaign.workload.instances]
        testbed = SimulationTestbed(campaign, composed.schedulers, composed.space, *seen)
        testbed.warm_up()
        return cls(campaign, composed.space, testbed, seen)

    def tried(self, suggestion: Suggestion, history: History) -> TrialRecord:
        """Return the record of a point, made of those on all instances."""
        replicates = []
        for instance, workload in enumerate(self.workloads):
            trial = Trial(number=suggestion.number, point=suggestion.point, instance=instance)
            begun = time.time()
            evaluation = self.testbed.evaluate(trial)
            record = judge(
                trial,
                evaluation,
                self.campaign,
                self.space,
                times=(begun, time.time()),
                group=history.group.number,
                baseline=suggestion.origin == "baseline",
                workload=workload,
            )
            replicates.append(record)
        return combined(replicates, history.rule)


def _study(composed: Composed, history: History) -> Study:
    """Return a study that knows what has been rehearsed.

    Points that were tried on the dear rung already come first: they show what rehearsals are worth.
    """
    campaign = composed.campaign
    tried = (composed.space.effective(one.point) for one in history.asked.values())
    opening = replace(composed.opening, first=(*composed.opening.first, *tried))
    study = Study(
        composed.space,
        campaign.objectives,
        campaign.search.constraints,
        campaign.sampler,
        campaign.search.seed,
        opening=opening,
        distinct=True,
    )
    with building_up():
        for one in history.rehearsals:
            study.restore(Suggestion(one.record.number, one.record.point, one.attrs))
            _tell(study, one.record)
    return study


def _tell(study: Study, record: TrialRecord) -> None:
    if record.valid:
        study.tell(record.number, record.metrics, baseline=record.baseline)
    else:
        study.fail(record.number)
