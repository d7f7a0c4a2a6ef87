"""What real schedulers heed and the simulation does not, with how many jobs it touches.

Whatever stands here makes a difference on a real cluster. Parameters that make none there either
are not named.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from campaign.core.cluster import ClusterModel
from campaign.core.jobs import Workload
from campaign.core.replayed import not_replayed

FEATURES = "features"
NODE_NUMBERS = r"\*[0-9]"
"""In a constraint on features: so many nodes have one of them."""
SHARED = r"\["
"""In a constraint on features: alternatives of which all nodes of a job have the same."""


def unmodelled(workload: Workload, model: ClusterModel, options: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each thing that isn't simulated, with how many jobs it may touch.

    `options` are the parameters in use that the scheduler heeds and the simulation doesn't.
    """
    yield from not_replayed(workload.traits, workload.obeyed)
    yield from unmodelled_wishes(workload, model)
    for name in options:
        touched = _in_arrays(workload) if "array" in name else len(workload)
        if touched:
            yield f"{name} of {_counted(touched)}: not simulated"


def unmodelled_wishes(workload: Workload, model: ClusterModel) -> Iterator[str]:
    """Yield sentences for what jobs ask for and are told, and what isn't simulated of that."""
    if numbers := _with_constraint(workload, NODE_NUMBERS):
        yield f"numbers of nodes in constraints on features of {_counted(numbers)}: not simulated"
    if shared := _with_constraint(workload, SHARED):
        yield (
            f"alternatives that all nodes share in constraints on features of {_counted(shared)}: "
            "each node may have another"
        )
    if unplanned := _without_plans(workload, model):
        yield f"no_reserve beside preemption of {_counted(unplanned)}: nothing is planned for them"


def _with_constraint(workload: Workload, pattern: str) -> int:
    """Return how many jobs have such a thing in the constraint that their scheduler is told."""
    if FEATURES not in workload.obeyed or FEATURES not in workload.traits.column_names:
        return 0
    constraints = workload.traits.column(FEATURES).cast(pa.string())
    return pc.sum(pc.match_substring_regex(constraints, pattern)).as_py() or 0


def _without_plans(workload: Workload, model: ClusterModel) -> int:
    """Return how many jobs Slurm plans nodes for, for a minute only, so that others give way."""
    gives_way = any(each.preempt != "off" for each in model.partitions) or any(
        each.preempts for each in model.qos
    )
    names = [each.name for each in model.qos if "no_reserve" in each.flags]
    if not (gives_way and names) or "qos" not in workload.obeyed:
        return 0
    if "qos" not in workload.traits.column_names:
        return 0
    chosen = pc.is_in(workload.traits.column("qos").cast(pa.string()), pa.array(names))
    return pc.sum(chosen).as_py() or 0


def _in_arrays(workload: Workload) -> int:
    if "array" not in workload.traits.column_names:
        return 0
    column = workload.traits.column("array")
    return len(column) - int(column.null_count)


def _counted(jobs: int) -> str:
    return "1 job" if jobs == 1 else f"{jobs} jobs"
