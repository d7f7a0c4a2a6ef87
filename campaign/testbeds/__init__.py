"""What a campaign needs of its kind of testbed, from before it begins to its end; a module per
kind."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from campaign.config.compose import Composed
from campaign.core.jobs import Workload
from campaign.core.testbed import Testbed
from campaign.images.bundles.manifest import Bundle
from campaign.records.ledger import Ledger

Say = Callable[[str], None]


@dataclass(frozen=True)
class Software:
    """What trials run on: the images that nodes boot, by scheduler; none where nothing boots."""

    images: Mapping[str, Bundle] = field(default_factory=dict)


class Means(Protocol):
    """The means to evaluate the trials of one campaign."""

    def prepare(self, ledger: Ledger, say: Say) -> Software:
        """Get what trials run on. Raises CampaignError where that can't be had."""
        ...

    def check(self) -> None:
        """Raise CampaignError unless the trials can be carried out here."""
        ...

    def open(self, stack: ExitStack, workload: Workload, say: Say) -> Testbed:
        """The testbed, after `prepare` and `check`; leaving `stack` ends all that it started."""
        ...


def means_for(composed: Composed) -> Means:
    """The means that the campaign's testbed.kind names."""
    if composed.campaign.testbed.kind == "simulation":
        from campaign.testbeds.simulated import Simulated

        return Simulated(composed)
    from campaign.testbeds.libvirt import OnLibvirt

    return OnLibvirt(composed)
