"""The problems on which samplers are compared: their settings, their noise, and a dear testbed.

Each has a finite space of which every point is simulated. They are of different schedulers,
objectives and constraints.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SHARED = (
    "name=bench-search",
    "testbed=simulation",
    "cluster.slots_per_node=4",
    "search.holdout=0",
)
"""The settings of all problems."""
DEAR = (
    "testbed.submit_s=0.05",
    "testbed.launch_s=1",
    "testbed.overrun_s=2",
    "testbed.release_s=3",
    "testbed.clock_s=47",
)
"""What the dear testbed of a ladder has beyond the cheap one: time that everything takes, and
another phase of the scheduler's clock. Both are simulated, so that both are known in whole."""
ORDER = (
    "scheduler.params.SchedulerType=sched/backfill",
    "++scheduler.params.PriorityWeightJobSize={low:0,high:1000,step:250,log:false}",
    "++scheduler.params.PriorityWeightAge={low:0,high:1000,step:250,log:false}",
    "++scheduler.params.PriorityFavorSmall={choices:[true,false]}",
)
BOTH = (
    "scheduler=slurm-flux",
    "cluster.nodes=[12,16]",
    "scheduler.arms.slurm.bf_interval={low:5,high:290,step:30,log:false}",
    "scheduler.arms.slurm.sched_interval={low:5,high:290,step:30,log:false}",
    "scheduler.arms.flux.queue_depth={low:1,high:96,step:5,log:false}",
)


@dataclass(frozen=True)
class SearchProblem:
    """A problem: its settings, how many instances chance chooses from, and if there is a ladder.

    With several instances, a search sees each point on one that is drawn, and is judged by the mean
    over all. A ladder's cheap rung is the problem as it is, its dear one the same with DEAR.
    """

    settings: tuple[str, ...]
    instances: int = 1
    ladder: bool = False


PROBLEMS: Mapping[str, SearchProblem] = {
    "two delays": SearchProblem(
        (
            "workload=lublin",
            "workload.jobs=150",
            "workload.load=1.1",
            "cluster.nodes=[12,16]",
            "scheduler.params.SchedulerType=sched/backfill",
            "scheduler.params.bf_interval={low:5,high:290,step:15,log:false}",
            "scheduler.params.sched_interval={low:5,high:290,step:15,log:false}",
        ),
    ),
    "order": SearchProblem(
        (
            *ORDER,
            "workload=lublin",
            "workload.jobs=200",
            "workload.seed=3",
            "workload.load=1.2",
            "cluster.nodes=[14,17]",
            "~objectives",
            "+objectives={wait_p95_s: minimize, bounded_slowdown_mean: minimize, "
            "node_hours: minimize}",
            "scheduler.params.bf_interval={choices:[30,60,120]}",
            "scheduler.params.sched_interval=60",
            "++scheduler.params.bf_max_job_test={low:1,high:41,step:10,log:false}",
        ),
        ladder=True,
    ),
    "constrained": SearchProblem(
        (
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
        ladder=True,
    ),
    "two schedulers": SearchProblem(
        (*BOTH, "workload=lublin", "workload.jobs=150", "workload.seed=5", "workload.load=1.1"),
        ladder=True,
    ),
    "flux": SearchProblem(
        (
            "workload=lublin",
            "workload.jobs=200",
            "workload.seed=4",
            "workload.load=1.1",
            "scheduler=flux",
            "cluster.nodes=[12,24]",
            "scheduler.params.queue_policy={choices:[fcfs,easy,conservative,hybrid]}",
            "scheduler.params.queue_depth={low:1,high:96,step:5,log:false}",
            "search.constraints.bounded_slowdown_mean.max_x_baseline=1.5",
        ),
        ladder=True,
    ),
    "noisy order": SearchProblem(
        (
            *ORDER,
            "workload=lublin",
            "workload.jobs=100",
            "workload.seed=11",
            "workload.load=1.2",
            "cluster.nodes=[14,17]",
            "~objectives",
            "+objectives={wait_p95_s: minimize, node_hours: minimize}",
            "scheduler.params.bf_interval=60",
            "scheduler.params.sched_interval=60",
            "++scheduler.params.bf_max_job_test={choices:[1,10,100]}",
        ),
        instances=4,
    ),
    "noisy schedulers": SearchProblem(
        (*BOTH, "workload=downey", "workload.jobs=100", "workload.seed=21", "workload.load=1.1"),
        instances=4,
    ),
}
"""Problems by name."""
