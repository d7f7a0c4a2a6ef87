"""What a campaign needs of its kind of testbed, from before it begins to its end.

There is a module for each kind, and `backend_for` chooses.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from campaign.core.jobs import Workload
from campaign.core.testbed import Testbed
from campaign.images.bundles.manifest import Bundle
from campaign.records.collected_logs import CollectedLogs
from campaign.schema.model import Campaign
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import Space


@dataclass(frozen=True)
class NodeImages:
    """The images that nodes boot, by scheduler; none where nothing boots."""

    bundles: Mapping[str, Bundle] = field(default_factory=dict)


class Backend(Protocol):
    """Opens the testbed of one campaign: `prepare`, then `check`, then `open`."""

    def prepare(self, begun_with: Mapping[str, str]) -> NodeImages:
        """Get the images of the nodes and return them.

        `begun_with` are the hashes of those that the campaign began with, by scheduler; none for
        one that begins now. Raises CampaignError where an image can't be had.
        """
        ...

    def check(self) -> None:
        """Raise CampaignError unless the trials can be carried out here."""
        ...

    def open(
        self, stack: ExitStack, workloads: Sequence[Workload], logs: CollectedLogs | None = None
    ) -> Testbed:
        """Return the testbed, on which trials replay `workloads`, each that of its instance.

        What its actors log, where it has any, is brought to `logs`. Leaving `stack` ends all that
        was started. Raises CampaignError where that can't be done.
        """
        ...


def backend_for(
    campaign: Campaign, schedulers: Mapping[str, Scheduler[Params]], space: Space
) -> Backend:
    """Return the backend that the campaign's testbed.kind names.

    `schedulers` are the adapters by name, `space` is what is searched.
    """
    if campaign.testbed.kind == "simulation":
        from campaign.testbeds.simulated import SimulationBackend

        return SimulationBackend(campaign, schedulers, space)
    from campaign.testbeds.libvirt import LibvirtBackend

    return LibvirtBackend(campaign, schedulers, space)
