"""Which of several errors that happened at once explains the others."""

from collections.abc import Iterator

from campaign.errors import CampaignError, InfrastructureError, SchedulerError


class NodeLost(InfrastructureError):
    """A node's VM ended or its kernel failed; `details` is its console's tail."""


def cause_of(error: BaseException) -> CampaignError | OSError:
    """The leaf of a group of errors that explains the others: a lost node first, then the scheduler, then the rest.

    Anything that is no expected error is raised: it is a bug, not an outcome.
    """
    leaves = list(_leaves(error))
    for leaf in leaves:
        if not isinstance(leaf, CampaignError | OSError):
            raise leaf
    ranked = [
        leaf for kind in (NodeLost, SchedulerError, CampaignError, OSError) for leaf in leaves if isinstance(leaf, kind)
    ]
    return ranked[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
