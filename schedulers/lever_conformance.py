"""What adapters promise about the pieces of the cluster and job model that they express."""

from campaign.core.levers import Lever
from schedulers.base import Params
from schedulers.broken import require
from schedulers.facts import ImageFacts
from schedulers.interface import Scheduler


def what_it_expresses_is_said(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless adapter and image say which levers they know, the image no more."""
    bound = scheduler.for_image(facts)
    strange = [one for one in (*scheduler.expresses, *bound.expresses) if one not in set(Lever)]
    require(not strange, f"it expresses {strange}, which are no levers")
    more = bound.expresses - scheduler.expresses
    require(not more, f"on this image it expresses {sorted(more)}, and by itself it doesn't")
