"""What Slurm's parameters mean for a simulation.

That is when slurmctld looks at its queue, in which order, and how it backfills. Read off slurmctld
of Slurm 24.11 (job_mgr.c, job_scheduler.c, controller.c, proc_req.c, agent.c; plugins
sched/backfill, priority/multifactor, select/cons_tres and topology/default), slurmd (req.c) and
slurm.conf(5).
"""

from campaign.schema.settings import conditions_of
from schedulers.policy import (
    Backfill,
    FairShare,
    Forgotten,
    Levers,
    Multifactor,
    PlacementRule,
    Policy,
    Priority,
    SchedulingLoop,
    ShareKind,
)
from schedulers.slurm.conf import OVER_LIMIT_MIN, PRIORITIES_EVERY_MIN
from schedulers.slurm.options import BACKFILLING, RareOptions
from schedulers.slurm.params import CommonParams, SlurmParams
from schedulers.slurm.shares import ShareParams

MINUTE = 60.0
OFF = -1
"""Slurm's word for a scheduler that never runs."""
NEVER_S = 2.0**32
"""Longer than any workload."""
FORESIGHT_S = 30.0
"""The first window in which select/cons_tres lets running jobs end to see where one would fit."""
REQUEUE_S = 121.0
"""How long a job that was queued again waits: a second longer than a credential of jobs is good."""
PATIENCE_S = 90.0
"""How long jobs that give way have for it: KillWait, and slurm.conf's MessageTimeout."""
IGNORED = {
    "defer": "no batch job is tried as it is submitted, and without an epilog its end waits for "
    "the clock anyway",
    "bf_continue": "what changes while a simulated backfill cycle leaves its locks doesn't end it",
    "PriorityWeightAge": "Slurm takes it for 0 where there is no slurmdbd",
    "PriorityMaxAge": "Slurm takes the weight of age for 0 where there is no slurmdbd",
    "PriorityWeightPartition": "there is one partition",
    **dict.fromkeys(ShareParams.model_fields, "nobody has an account"),
    "PriorityFlags": "nothing that depends on it is simulated",
    **dict.fromkeys(RareOptions.model_fields, "not simulated"),
}
"""Parameters without a meaning in a simulation, and why."""
WITH_MODEL = (
    "PriorityWeightPartition",
    "PriorityFlags",
    "bf_max_job_user",
    "bf_max_job_part",
    "bf_max_job_user_part",
    "bf_min_age_reserve",
    "bf_min_prio_reserve",
    "bf_job_part_count_reserve",
    "bf_node_space_size",
    "bf_window_linear",
    "bf_busy_nodes",
    "partition_job_depth",
    "sched_max_job_start",
)
"""Those of them that act on a cluster with a model."""
WITH_ACCOUNTS = (
    "PriorityWeightAge",
    "PriorityMaxAge",
    "bf_max_job_assoc",
    "assoc_limit_stop",
    *(name for name in ShareParams.model_fields if name != "PriorityWeightAssoc"),
)
"""Those that act where it has accounts too."""
WITH_TIME = ("bf_max_time", "bf_yield_interval", "bf_yield_sleep")
"""Those that act where backfilling takes time for each job."""
FORGOTTEN: dict[str, Forgotten] = {
    "NONE": "never",
    "DAILY": "daily",
    "WEEKLY": "weekly",
    "MONTHLY": "monthly",
    "QUARTERLY": "quarterly",
    "YEARLY": "yearly",
}
OF_BACKFILL = tuple(
    name
    for name, field in CommonParams.model_fields.items()
    if conditions_of(field) == BACKFILLING and name not in IGNORED
)
"""Parameters that decide when and how far backfill plans."""
TIMING = (
    "SchedulerType",
    *sorted(OF_BACKFILL),
    "default_queue_depth",
    "sched_interval",
    "sched_min_interval",
    "batch_sched_delay",
)
"""Parameters that make loop and backfill."""


def policy(params: SlurmParams) -> Policy:
    """Return the policy of a controller that runs with `params`, with those that it ignores."""
    backfills = params.SchedulerType == "sched/backfill" and params.bf_interval != OFF
    ranks = params.PriorityType == "priority/multifactor"
    ignored = {*IGNORED, *params.idle, *(() if backfills else OF_BACKFILL)}
    return Policy(
        loop=_loop(params),
        backfill=_backfill(params) if backfills else None,
        priority=_priority(params) if ranks else Priority(),
        multifactor=_multifactor(params) if ranks else None,
        levers=_levers(params),
        limit_unit_s=MINUTE,
        grace_s=OVER_LIMIT_MIN * MINUTE,
        placement=_placement(params.SelectTypeParameters),
        ignored=(
            *(name for name in SlurmParams.model_fields if name in ignored),
            *(params.model_extra or ()),
        ),
        timing=TIMING,
        with_model=WITH_MODEL if ranks else (),
        with_accounts=WITH_ACCOUNTS if ranks else (),
        with_time=WITH_TIME if backfills else (),
        unmodelled=tuple(name for name in RareOptions.model_fields if name in ignored),
    )


def _loop(params: SlurmParams) -> SchedulingLoop:
    runs = params.sched_interval != OFF
    return SchedulingLoop(
        delay_s=params.batch_sched_delay,
        interval_s=params.sched_interval if runs else NEVER_S,
        min_interval_s=params.sched_min_interval / 1e6,
        # It compares before it counts, so it looks at one job more than it is told.
        depth=params.default_queue_depth + 1 if runs else 0,
    )


def _backfill(params: SlurmParams) -> Backfill:
    return Backfill(
        interval_s=params.bf_interval,
        window_s=params.bf_window * MINUTE,
        resolution_s=params.bf_resolution,
        max_test=params.bf_max_job_test,
        max_start=params.bf_max_job_start,
        foresight_s=FORESIGHT_S,
        longest_s=params.bf_max_time or params.bf_interval,
        yields_after_s=params.bf_yield_interval / 1e6,
        yields_s=params.bf_yield_sleep / 1e6,
    )


def _levers(params: SlurmParams) -> Levers:
    return Levers(
        memory="MEMORY" in params.SelectTypeParameters.upper(),
        partition_depth=params.partition_job_depth,
        most_starts=params.sched_max_job_start,
        limits_stop=params.assoc_limit_stop,
        of_user=params.bf_max_job_user,
        of_partition=params.bf_max_job_part,
        of_user_in_partition=params.bf_max_job_user_part,
        of_account=params.bf_max_job_assoc,
        least_age_s=params.bf_min_age_reserve,
        least_priority=params.bf_min_prio_reserve,
        plans_of_partition=params.bf_job_part_count_reserve,
        plan_records=params.bf_node_space_size or params.bf_max_job_test,
        busy_first=params.bf_busy_nodes,
        window_step_s=params.bf_window_linear,
        requeue_s=REQUEUE_S,
        patience_s=PATIENCE_S,
    )


def _priority(params: SlurmParams) -> Priority:
    return Priority(
        size=params.PriorityWeightJobSize,
        favor_small=params.PriorityFavorSmall,
        period_s=PRIORITIES_EVERY_MIN * MINUTE,
    )


def _multifactor(params: SlurmParams) -> Multifactor:
    flags = params.PriorityFlags.split(",")
    kind: ShareKind = "classic" if "NO_FAIR_TREE" in flags else "tree"
    return Multifactor(
        age=params.PriorityWeightAge,
        size=params.PriorityWeightJobSize,
        max_age_s=params.PriorityMaxAge * MINUTE,
        favor_small=params.PriorityFavorSmall,
        period_s=PRIORITIES_EVERY_MIN * MINUTE,
        partition=params.PriorityWeightPartition,
        qos=params.PriorityWeightQOS,
        fair_share=FairShare(
            weight=params.PriorityWeightFairshare,
            kind="oblivious" if "DEPTH_OBLIVIOUS" in flags else kind,
            half_life_s=params.PriorityDecayHalfLife * MINUTE,
            forgotten=FORGOTTEN[params.PriorityUsageResetPeriod],
            damping=params.FairShareDampeningFactor,
        ),
        age_of_all="ACCRUE_ALWAYS" in flags,
        size_by_time="SMALL_RELATIVE_TO_TIME" in flags,
        rising="INCR_ONLY" in flags,
        plain_partition="NO_NORMAL_PART" in flags,
        plain_qos="NO_NORMAL_QOS" in flags,
    )


def _placement(select: str) -> PlacementRule:
    if "CR_LLN" in select:
        return "least_loaded"
    return "pack" if "CR_Pack_Nodes" in select else "best_fit"
