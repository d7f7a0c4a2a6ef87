"""Options of SchedulerParameters that few sites set, under Slurm's own names.

Bounds and defaults are those of slurm.conf(5) of Slurm 24.11 and of what slurmctld checks. An
option that has its default is not written.
"""

from typing import Literal

from campaign.schema.settings import tunable
from schedulers.base import Params

BACKFILLING = {"SchedulerType": ("sched/backfill",)}
"""Where an option of backfill has an effect."""
MOST_JOBS = 1_000_000
MICROSECONDS_MAX = 10_000_000
"""The most that backfill takes for its yields."""


class BackfillOptions(Params):
    """What backfill does beside its clock and its window; sched/builtin ignores it."""

    bf_max_job_user: int = tunable(
        0,
        unit="jobs",
        ge=0,
        le=MOST_JOBS,
        help="jobs of a user tried per cycle, 0: any",
        only=BACKFILLING,
    )
    bf_max_job_part: int = tunable(
        0,
        unit="jobs",
        ge=0,
        le=MOST_JOBS,
        help="jobs of a partition tried per cycle, 0: any",
        only=BACKFILLING,
    )
    bf_max_job_user_part: int = tunable(
        0,
        unit="jobs",
        ge=0,
        le=MOST_JOBS,
        help="jobs of a user in a partition, 0: any",
        only=BACKFILLING,
    )
    bf_max_job_assoc: int = tunable(
        0,
        unit="jobs",
        ge=0,
        le=MOST_JOBS,
        help="jobs of an association tried per cycle, 0: any",
        only=BACKFILLING,
    )
    bf_max_job_array_resv: int = tunable(
        20,
        unit="tasks",
        ge=0,
        le=1000,
        help="tasks of an array that get reservations",
        only=BACKFILLING,
    )
    bf_max_time: int = tunable(
        0,
        unit="s",
        ge=0,
        le=3600,
        help="how long a cycle may take, 0: as bf_interval",
        examples=[60],
        only=BACKFILLING,
    )
    bf_min_age_reserve: int = tunable(
        0,
        unit="s",
        ge=0,
        le=2_592_000,
        help="how long a job waits before it gets a reservation",
        examples=[60],
        only=BACKFILLING,
    )
    bf_min_prio_reserve: int = tunable(
        0,
        ge=0,
        le=4_294_967_295,
        help="the priority from which jobs get reservations, 0: all do",
        examples=[1_000],
        only=BACKFILLING,
    )
    bf_job_part_count_reserve: int = tunable(
        0,
        unit="jobs",
        ge=0,
        le=100_000,
        help="jobs per partition that get reservations, 0: all do",
        only=BACKFILLING,
    )
    bf_node_space_size: int = tunable(
        0,
        ge=0,
        le=2_000_000,
        help="records of the plan, 0: as bf_max_job_test; else at least 2",
        examples=[1_000],
        only=BACKFILLING,
    )
    bf_window_linear: int = tunable(
        0,
        unit="s",
        ge=0,
        le=86_400,
        help="by how much ends are grouped more coarsely, 0: doubled",
        examples=[60],
        only=BACKFILLING,
    )
    bf_yield_interval: int = tunable(
        2_000_000,
        unit="us",
        ge=1,
        le=MICROSECONDS_MAX,
        help="how long locks are held at once",
        examples=[1_000_000],
        only=BACKFILLING,
    )
    bf_yield_sleep: int = tunable(
        500_000,
        unit="us",
        ge=1,
        le=MICROSECONDS_MAX,
        help="how long locks are left then",
        examples=[200_000],
        only=BACKFILLING,
    )
    bf_busy_nodes: bool = tunable(
        False, help="prefer nodes that are in use already", only=BACKFILLING
    )
    bf_one_resv_per_job: bool = tunable(
        False, help="at most one reservation for each job", only=BACKFILLING
    )
    bf_running_job_reserve: bool = tunable(
        False, help="reserve for running jobs of whole nodes", only=BACKFILLING
    )
    bf_allow_magnetic_slot: bool = tunable(
        False, help="plan around magnetic reservations", only=BACKFILLING
    )
    bf_licenses: bool = tunable(False, help="plan licenses too", only=BACKFILLING)
    bf_hetjob_immediate: bool = tunable(
        False, help="start a het job as soon as all parts can", only=BACKFILLING
    )
    bf_hetjob_prio: Literal["off", "min", "avg", "max"] = tunable(
        "off", help="the priority of a het job among those of its parts", only=BACKFILLING
    )
    bf_topopt_enable: bool = tunable(
        False, help="delay jobs for a better placement", only=BACKFILLING
    )
    bf_topopt_iterations: int = tunable(
        10, ge=2, le=30, help="how often a job may be delayed so", only=BACKFILLING
    )


class MainOptions(Params):
    """What the main scheduler and the controller do beside their clock."""

    partition_job_depth: int = tunable(
        0, unit="jobs", ge=0, le=MOST_JOBS, help="jobs tried per partition, 0: any"
    )
    sched_max_job_start: int = tunable(
        0,
        unit="jobs",
        ge=0,
        le=MOST_JOBS,
        help="jobs started per run of the main scheduler, 0: any",
    )
    max_sched_time: int = tunable(
        0, unit="s", ge=0, le=30, help="how long the main scheduler may run, 0: 2", examples=[1]
    )
    build_queue_timeout: int = tunable(
        2_000_000,
        unit="us",
        ge=100,
        le=60_000_000,
        help="how long building the queue may take",
        examples=[1_000_000],
    )
    max_rpc_cnt: int = tunable(
        0,
        unit="threads",
        ge=0,
        le=1000,
        help="don't schedule while so many are busy, 0: always do",
        examples=[150],
    )
    defer_batch: bool = tunable(False, help="don't try to start batch jobs as they are submitted")
    assoc_limit_stop: bool = tunable(
        False, help="a job that a limit holds back holds back all behind it in its partition"
    )
    reduce_completing_frag: bool = tunable(False, help="wait only in partitions with ending jobs")
    pack_serial_at_end: bool = tunable(False, help="put serial jobs at the end of the nodes")
    spec_cores_first: bool = tunable(False, help="specialized cores are the first ones")
    time_min_as_soft_limit: bool = tunable(False, help="plan by a job's shortest time limit")
    whole_hetjob: bool = tunable(False, help="cancelling a part of a het job cancels all of it")
    allow_zero_lic: bool = tunable(False, help="accept jobs that want licenses there are none of")
    bb_array_stage_cnt: int = tunable(
        10, unit="tasks", ge=1, le=100_000, help="tasks of an array that stage data at once"
    )
    correspond_after_task_cnt: int = tunable(
        10, unit="tasks", ge=10, le=MOST_JOBS, help="tasks that are split for aftercorr"
    )
    delay_boot: int = tunable(0, unit="min", ge=0, le=525_600, help="before a node is rebooted")
    max_array_tasks: int = tunable(
        0,
        unit="tasks",
        ge=0,
        le=4_000_001,
        help="tasks of an array, 0: as MaxArraySize",
        examples=[1_000],
    )
    max_depend_depth: int = tunable(
        10, unit="jobs", ge=1, le=10_000, help="how deep circular dependencies are looked for"
    )
    max_switch_wait: int = tunable(
        300, unit="s", ge=0, le=2_592_000, help="how long a job waits for few switches"
    )
    max_script_size: int = tunable(
        4_194_304,
        unit="bytes",
        ge=1,
        le=536_870_912,
        help="of a batch script",
        examples=[1_000_000],
    )
    max_submit_line_size: int = tunable(
        1_048_576, unit="bytes", ge=1, le=2_097_152, help="of a submit line", examples=[500_000]
    )
    step_retry_count: int = tunable(
        8, unit="steps", ge=1, le=100_000, help="steps that are tried again as one ends"
    )
    step_retry_time: int = tunable(
        60, unit="s", ge=1, le=86_400, help="steps that wait so long are all tried again"
    )
    disable_job_shrink: bool = tunable(False, help="users may not shrink running jobs")
    disable_hetjob_steps: bool = tunable(False, help="no steps over parts of a het job")
    enable_hetjob_steps: bool = tunable(False, help="steps over parts of a het job (the default)")
    enable_job_state_cache: bool = tunable(False, help="answer for job states from a cache")
    enable_user_top: bool = tunable(False, help="users may put their jobs first")
    extra_constraints: bool = tunable(False, help="filter nodes by --extra")
    ignore_constraint_validation: bool = tunable(False, help="accept unknown --constraint")
    ignore_prefer_validation: bool = tunable(False, help="accept unknown --prefer")
    Ignore_NUMA: bool = tunable(False, help="NUMA nodes are no sockets")
    no_backup_scheduling: bool = tunable(False, help="a backup controller schedules nothing")
    no_env_cache: bool = tunable(False, help="no cached environment for jobs")
    nohold_on_prolog_fail: bool = tunable(False, help="don't hold jobs whose prolog failed")
    requeue_setup_env_fail: bool = tunable(False, help="requeue jobs without their environment")
    salloc_wait_nodes: bool = tunable(False, help="salloc waits until all nodes are ready")
    sbatch_wait_nodes: bool = tunable(False, help="batch jobs wait until all nodes are ready")


class RareOptions(MainOptions, BackfillOptions):
    """All options that few sites set."""
