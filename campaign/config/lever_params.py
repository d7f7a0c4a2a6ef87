"""Refuses parameters that act only on a cluster with accounts, where nobody has one."""

from collections.abc import Iterator, Mapping

from campaign.config.effects import given
from campaign.config.origins import Origins
from campaign.core.levers import Lever, levers_in_use
from campaign.schema.model import Campaign
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import ARMS, PARAMS, Problem, Space

PLACES = {Lever.ACCOUNTS: "cluster.accounts", Lever.QOS: "cluster.qos"}
"""Where a lever is pulled, for those that parameters act with."""


def without_lever(
    campaign: Campaign, space: Space, schedulers: Mapping[str, Scheduler[Params]], origins: Origins
) -> Iterator[Problem]:
    """Yield the parameters that are searched, or given on the command line, and do nothing here.

    In a file of the user's, which may be a site's own settings, a fixed value is no mistake: it is
    written as it stands.
    """
    used = {one.lever for one in levers_in_use(campaign.cluster, campaign.workload)}
    for name, scheduler in schedulers.items():
        prefix = f"{ARMS}.{name}." if space.has_arms else f"{PARAMS}."
        for param, levers in scheduler.acts_with.items():
            path = f"{prefix}{param}"
            searched = path in space.dimensions
            default = scheduler.Params.model_fields[param].default
            chosen = given(origins.overrides, path) and space.fixed.get(path, default) != default
            if (searched or chosen) and not used & levers:
                value = "searched" if searched else space.fixed[path]
                places = " or ".join(sorted(PLACES[lever] for lever in levers))
                yield Problem(path, value, f"leave it out, or set {places}", _why(name))


def _why(scheduler: str) -> str:
    return f"it acts in {scheduler} only where jobs belong to accounts or have qualities of service"
