"""What a trial's errors mean: which of several explains the others, and the outcome it leads to."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar, overload

from campaign.core.errors import CampaignError, InfrastructureError, SchedulerError, StallError
from campaign.core.trials import Outcome

T = TypeVar("T")
U = TypeVar("U")


class NodeLost(InfrastructureError):
    """The VM of `node` ended or its kernel failed; `details` is its console's tail."""

    def __init__(self, node: str, why: str, console: str) -> None:
        super().__init__(f"{node} was lost: {why}", console)
        # Ray pickles errors, and unpickling calls the class with these arguments again.
        self.args = (node, why, console)
        self.node = node


def outcome_of(cause: CampaignError | OSError) -> Outcome:
    """Return the outcome of a trial that ended with this error."""
    return cause.outcome if isinstance(cause, CampaignError) else "infrastructure_failed"


def retryable(cause: CampaignError | OSError) -> bool:
    """Return whether another attempt may go well; an error of the system's is the platform's."""
    return cause.retryable if isinstance(cause, CampaignError) else True


def cause_of(error: BaseException) -> CampaignError | OSError:
    """Return the leaf of a group of errors that explains the others.

    That is a lost node first, then the scheduler, then a stall, then the rest. A leaf that is
    neither a CampaignError nor an OSError is raised: it is a bug, not an outcome.
    """
    leaves = list(_leaves(error))
    for leaf in leaves:
        if not isinstance(leaf, CampaignError | OSError):
            raise leaf
    ranked = [
        leaf
        for kind in (NodeLost, SchedulerError, StallError, CampaignError, OSError)
        for leaf in leaves
        if isinstance(leaf, kind)
    ]
    return ranked[0]


@overload
async def run_all(
    first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U], /
) -> tuple[T, U]: ...
@overload
async def run_all(*work: Coroutine[Any, Any, T]) -> tuple[T, ...]: ...
async def run_all(*work: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
    """Run all of `work` at once, and return the results in their order.

    When one fails, the others are cancelled, and the error that explains them all is raised (see
    `cause_of`).
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except ExceptionGroup as errors:
        raise cause_of(errors) from None
    return tuple(task.result() for task in tasks)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
