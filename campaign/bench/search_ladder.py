"""A search by a ladder of two problems that are known in whole: the cheap one, and the dear one."""

from campaign.bench.known_problem import KnownProblem, searched
from campaign.core.trials import TrialRecord
from campaign.schema.search import SamplerSettings
from search.ladder import Ladder, Rehearsed
from search.opening import Opening
from search.study import Study

REHEARSALS = 200
MOST_TRIALS = 40
"""After so many dear trials a ladder is given up."""


def climbed(
    cheap: KnownProblem, dear: KnownProblem, sampler: SamplerSettings, seed: int
) -> list[TrialRecord]:
    """Return the trials on the dear rung, promoted from what `sampler` rehearsed on the cheap one.

    There are half as many rehearsals as points, REHEARSALS at most.
    """
    first = searched(cheap, sampler, seed, min(REHEARSALS, len(cheap.outcomes) // 2))
    pool = [Rehearsed(one.point, one.metrics) for one in first if one.valid]
    campaign = dear.composed.campaign
    space = dear.composed.space
    study = Study(
        space,
        campaign.objectives,
        campaign.search.constraints,
        sampler,
        seed,
        opening=Opening(baseline=dear.composed.baseline.point),
        ladder=Ladder(space, campaign.objectives, campaign.search.constraints, pool),
        distinct=True,
    )
    return list(dear.evaluated(study, seed, min(MOST_TRIALS, len(pool))))
