"""What sources know of jobs and replays don't use yet, in sentences: one for each such trait."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

NOT_REPLAYED = {
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
}
"""The traits that neither a scheduler's adapter nor the simulation obeys, in words.

What is obeyed some day leaves this table. A dependency's kind and think time go with it.
"""


def not_replayed(traits: pa.Table) -> Iterator[str]:
    """Yield a sentence for each trait that jobs have and no replay obeys, with their number."""
    for name, words in NOT_REPLAYED.items():
        if name in traits.column_names and (jobs := _asking(traits.column(name))):
            yield f"{words} of {'1 job' if jobs == 1 else f'{jobs} jobs'}: not replayed"


def _asking(column: pa.ChunkedArray) -> int:
    """Return how many jobs ask for anything: neither unknown, nor none, nor no."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        column = pc.greater(column, 0)
    if pa.types.is_boolean(column.type):
        return pc.sum(column).as_py() or 0
    return len(column) - int(column.null_count)
