"""What several nodes want of the VM that they share, each thing once."""

from collections.abc import Iterable
from typing import TypeVar

from campaign.core.errors import SchedulerError

T = TypeVar("T")


def once(named: Iterable[tuple[str, T]], where: str) -> tuple[T, ...]:
    """Return what is called by each name, in order.

    Raise SchedulerError, which begins with `where`, for a name of two different things.
    """
    found: dict[str, T] = {}
    for name, value in named:
        if found.setdefault(name, value) != value:
            raise SchedulerError(
                f"{where}: nodes that share it want different {name}",
                resolution="Give each node a name of its own for that.",
            )
    return tuple(found.values())
