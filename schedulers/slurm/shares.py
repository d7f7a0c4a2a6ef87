"""What a campaign may set of how Slurm shares a cluster: it acts where slurmdbd keeps accounts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from campaign.schema.settings import tunable
from schedulers.base import Params
from schedulers.slurm.spelling import FAIR_TREE, PRIORITY_FLAGS, priority_flags, whole_minutes

RANKING = {"PriorityType": ("priority/multifactor",)}
"""Where a factor of a job's priority has an effect."""
WEIGHT_MAX = 1_000_000_000
Minutes = Annotated[int, BeforeValidator(whole_minutes)]


class ShareParams(Params):
    """Fair share and quality of service, as lines of slurm.conf."""

    PriorityWeightFairshare: int = tunable(
        0, ge=0, le=WEIGHT_MAX, help="weight of fair share (with accounts)", only=RANKING
    )
    PriorityWeightQOS: int = tunable(
        0, ge=0, le=WEIGHT_MAX, help="weight of quality of service (with accounts)", only=RANKING
    )
    PriorityWeightAssoc: int = tunable(
        0,
        ge=0,
        le=WEIGHT_MAX,
        help="weight of an association's own priority (with accounts)",
        only=RANKING,
    )
    PriorityDecayHalfLife: Minutes = tunable(
        10_080,
        unit="min",
        ge=0,
        le=5_256_000,
        help="after so long, use counts half in fair share, 0: use never fades (with accounts)",
        examples=[60, 20_160],
        only=RANKING,
    )
    PriorityUsageResetPeriod: Literal[
        "NONE", "DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY"
    ] = tunable("NONE", help="when all use is forgotten (with accounts)", only=RANKING)
    FairShareDampeningFactor: int = tunable(
        1,
        ge=1,
        le=65_533,
        help="how much classic fair share is dampened (with accounts)",
        examples=[2, 5],
        only=RANKING,
    )


class PriorityFlagParams(Params):
    """How the factors of a job's priority are counted."""

    PriorityFlags: Annotated[str, AfterValidator(priority_flags)] = tunable(
        FAIR_TREE,
        help="NO_FAIR_TREE: classic fair share; ACCRUE_ALWAYS: age counts from submission on; "
        "FAIR_TREE: none of them",
        allowed=f"any of {', '.join(PRIORITY_FLAGS)}; or {FAIR_TREE}",
        examples=["ACCRUE_ALWAYS,NO_FAIR_TREE"],
        only=RANKING,
    )
