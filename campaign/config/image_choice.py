"""Which image nodes boot: the campaign's own, or one that has the programs for its cluster."""

from campaign.core.levers import levers_in_use
from campaign.schema.model import Campaign
from schedulers.base import Params
from schedulers.interface import Scheduler


def image_name(campaign: Campaign, scheduler: Scheduler[Params]) -> str:
    """Return the name of the image that nodes boot under `scheduler`."""
    used = levers_in_use(campaign.cluster, campaign.workload)
    needed = (scheduler.images[one.lever] for one in used if one.lever in scheduler.images)
    return campaign.image.name_for(next(needed, scheduler.image))
