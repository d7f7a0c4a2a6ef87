"""What sources know of jobs and a replay doesn't use, in sentences: one for each such trait."""

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

IN_WORDS = {
    "nodes": "number of nodes",
    "memory_per_slot_mib": "memory per slot",
    "memory_per_node_mib": "memory per node",
    "gpus": "GPUs",
    "gpu_type": "type of GPU",
    "features": "constraint on nodes",
    "exclusive": "exclusive use of nodes",
    "user_name": "name of the user",
    "group": "group",
    "account": "account",
    "partition": "partition",
    "qos": "quality of service",
    "reservation": "reservation",
    "array": "array",
    "array_limit": "limit on an array's tasks at once",
    "after": "dependency on other jobs",
    "think_s": "think time after the job before",
}
"""The traits that schedulers may be told, in words; a dependency's kind goes with it.

Think time is no scheduler's: users keep to it, who are simulated alone.
"""


def not_replayed(traits: pa.Table, obeyed: Collection[str] = ()) -> Iterator[str]:
    """Yield a sentence for each trait that jobs have and that isn't `obeyed`, with their number."""
    for name, words in IN_WORDS.items():
        if name in obeyed or name not in traits.column_names:
            continue
        if jobs := _asking(traits.column(name)):
            yield f"{words} of {'1 job' if jobs == 1 else f'{jobs} jobs'}: not replayed"


def _asking(column: pa.ChunkedArray) -> int:
    """Return how many jobs ask for anything: neither unknown, nor none, nor no."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        column = pc.greater(column, 0)
    if pa.types.is_boolean(column.type):
        return pc.sum(column).as_py() or 0
    return len(column) - int(column.null_count)
