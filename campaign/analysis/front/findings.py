"""All that is found out about a campaign's front, from its record: computed once, then shown."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from campaign.analysis.front.affected import ClassWait, PairedJobs, class_waits
from campaign.analysis.front.correlation import ObjectiveCorrelation, correlations
from campaign.analysis.front.costs import TrialCosts
from campaign.analysis.front.effects import SettingEffect, setting_effects
from campaign.analysis.front.hypervolume import VolumeBox, VolumeHistory, volume_history
from campaign.analysis.front.resampling import Bootstrap
from campaign.analysis.front.together import SettingsTogether, settings_together
from campaign.core.jobs import Workload
from campaign.core.trials import TrialRecord
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from search.importance import SettingImportance, importances
from search.space import Space


@dataclass(frozen=True)
class FrontFindings:
    """How good a front is, and what leads there.

    `outcomes` is the number of trials that have all objectives. `importances` are by objective, and
    empty where there are too few trials to tell; `together` are settings that they can't tell
    apart. `chosen` is the point of the front that lies nearest to the best value of every objective
    (None without a front), `effects` are those of single settings around it, `waits` those of its
    jobs beside the baseline's: over so many instances (`wait_instances`), which the search has not
    seen if they are `waits_unseen`.
    """

    outcomes: int
    volume: VolumeHistory | None
    correlations: tuple[ObjectiveCorrelation, ...]
    importances: Mapping[str, tuple[SettingImportance, ...]]
    together: tuple[SettingsTogether, ...]
    chosen: TrialRecord | None
    effects: tuple[SettingEffect, ...]
    waits: tuple[ClassWait, ...]
    wait_instances: int = 1
    waits_unseen: bool = False


@dataclass(frozen=True)
class FrontInputs:
    """What findings are made of: a campaign's trials, its front, and what they searched.

    `jobs` gives a trial's jobs table on an instance, None where it left none, and `workload` gives
    the jobs of an instance, None where they aren't known.
    """

    records: Sequence[TrialRecord]
    front: Sequence[TrialRecord]
    baseline: TrialRecord | None
    space: Space
    objectives: Mapping[str, Direction]
    constraints: Mapping[str, Bound]
    jobs: Callable[[int, int], pa.Table | None]
    workload: Callable[[int], Workload | None] = lambda instance: None


def front_findings(given: FrontInputs) -> FrontFindings:
    """Return what is found out about a front."""
    # What settings do and how objectives relate is asked of all trials, feasible or not.
    outcomes = TrialCosts.of(given.records, given.objectives)
    feasible = TrialCosts.of(given.records, given.objectives, given.constraints)
    points = [record.point for record in outcomes.records]
    found = importances(given.space, points, outcomes.costs)
    chosen = compromise(feasible, given.front)
    instances, unseen = _instances(chosen, given.baseline)
    pairs = list(_paired(given, chosen, instances))
    return FrontFindings(
        outcomes=len(points),
        volume=volume_history(feasible, given.front, given.records, given.baseline),
        correlations=tuple(correlations(outcomes)),
        importances={name: tuple(own) for name, own in zip(given.objectives, found, strict=True)},
        together=tuple(settings_together(points)),
        chosen=chosen,
        effects=tuple(setting_effects(chosen, given.records, given.objectives)) if chosen else (),
        waits=tuple(class_waits(pairs)) if pairs else (),
        wait_instances=len(pairs),
        waits_unseen=unseen,
    )


def compromise(measured: TrialCosts, front: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the point of the front nearest to the best value of every objective.

    Distances are Euclidean, with each objective's range over the front as the unit (the compromise
    solution of Zeleny, 1973). The baseline is chosen only where it is alone.
    """
    others = [one for one in front if not one.baseline] or list(front)
    rows = [row for one in front if (row := measured.row_of(one)) is not None]
    if not rows:
        return None
    box = VolumeBox.around(measured.costs[rows], measured.costs)
    candidates = [row for one in others if (row := measured.row_of(one)) is not None]
    distances = np.linalg.norm(box.scaled(measured.costs[candidates]), axis=1)
    return measured.records[candidates[int(np.argmin(distances))]]


def _instances(chosen: TrialRecord | None, baseline: TrialRecord | None) -> tuple[list[int], bool]:
    """Return the instances on which jobs are compared, and whether the search has not seen them.

    They are those that were held out, unless these are few and the search saw more.
    """
    if chosen is None or baseline is None or not baseline.valid or chosen.baseline:
        return [], False
    unseen = _common(chosen.held_out, baseline.held_out)
    seen = _common(chosen.replicates, baseline.replicates) or [0]
    enough = len(unseen) >= min(len(seen), Bootstrap().fewest)
    return (unseen, True) if enough else (seen, False)


def _common(ours: Sequence[TrialRecord], theirs: Sequence[TrialRecord]) -> list[int]:
    valid = ({one.instance for one in records if one.valid} for records in (ours, theirs))
    return sorted(set.intersection(*valid))


def _paired(
    given: FrontInputs, chosen: TrialRecord | None, instances: Iterable[int]
) -> Iterator[PairedJobs]:
    baseline = given.baseline
    if chosen is None or baseline is None:
        return
    for instance in instances:
        own = given.jobs(chosen.number, instance)
        before = given.jobs(baseline.number, instance)
        if own is not None and before is not None:
            yield PairedJobs(own, before, given.workload(instance))
