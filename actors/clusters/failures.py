"""What a trial's errors mean: which of several explains the others, and what the trial came to by
it."""

from collections.abc import Iterator

from campaign.core.errors import CampaignError, InfrastructureError, SchedulerError, StallError
from campaign.core.trials import Outcome


class NodeLost(InfrastructureError):
    """The VM of `node` ended or its kernel failed; `details` is its console's tail."""

    def __init__(self, node: str, why: str, console: str) -> None:
        super().__init__(f"{node} was lost: {why}", console)
        self.args = (node, why, console)
        self.node = node


def outcome_of(cause: CampaignError | OSError) -> Outcome:
    """What a trial that ended with this error came to."""
    if isinstance(cause, StallError):
        return "stalled"
    return "scheduler_failed" if isinstance(cause, SchedulerError) else "infrastructure_failed"


def cause_of(error: BaseException) -> CampaignError | OSError:
    """The leaf of a group of errors that explains the others: a lost node first, then the
    scheduler, then a stall, then the rest.

    Anything that is no expected error is raised: it is a bug, not an outcome.
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


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
