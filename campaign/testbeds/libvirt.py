"""Trials on virtual machines: an image, hosts with room, Ray, and the actors that own them."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from campaign.compose import Composed
from campaign.images.manifest import MANIFEST, Bundle
from campaign.jobs import Workload
from campaign.ledger import Ledger
from campaign.preflight import bundle_for, check_capacity, check_payload, check_ports
from campaign.testbed import Testbed
from campaign.testbeds import Say, Software
from campaign.trials import Trial
from campaign.version import git_commit

if TYPE_CHECKING:
    from actors.cluster import TrialSpec
    from actors.supply import Blueprint


class OnLibvirt:
    """See `campaign.testbeds.Means`."""

    def __init__(self, composed: Composed) -> None:
        self._composed = composed
        self._bundle: Bundle | None = None

    def prepare(self, ledger: Ledger, say: Say) -> Software:
        self._bundle = bundle_for(self._composed, ledger, say)
        check_payload(self._composed, self._bundle)
        return Software(self._bundle.hash, (self._bundle.path / MANIFEST).read_bytes())

    def check(self) -> None:
        check_capacity(self._composed)
        check_ports(self._composed)
        if self._composed.campaign.bootstrap.via == "ansible":
            from actors.ansible import check_installed

            check_installed()

    def open(self, stack: ExitStack, workload: Workload, say: Say) -> Testbed:
        return self.open_for(stack, lambda trial: workload, say)

    def open_for(self, stack: ExitStack, workload_of: Callable[[Trial], Workload], say: Say) -> Testbed:
        """The same, with a workload for each trial."""
        from actors import ray_session

        campaign = self._composed.campaign
        ray_session.prepare(campaign.testbed.ray_address)
        from actors.pool import LibvirtTestbed, Pool

        say("starting Ray and opening the hosts")
        pool = stack.enter_context(Pool(campaign.hosts, self._image, campaign.name, campaign.testbed))
        for facts in pool.facts.values():
            kind = facts.acceleration
            say(f"host {facts.name}: {facts.uri}, guests run under {kind.kind} ({kind.reason})")
        testbed = LibvirtTestbed(pool, self._blueprint(), lambda trial: self._spec(trial, workload_of(trial)))
        stack.callback(testbed.close)
        return testbed

    @property
    def _image(self) -> Bundle:
        if self._bundle is None:
            raise RuntimeError("the testbed was opened before it was prepared")
        return self._bundle

    def _blueprint(self) -> "Blueprint":
        from actors.supply import Blueprint

        campaign = self._composed.campaign
        smallest, largest = self._composed.space.node_counts()
        return Blueprint(
            campaign=campaign.name,
            scheduler=self._composed.scheduler,
            cluster=campaign.cluster,
            bundle=self._image,
            smallest=smallest,
            largest=largest,
            via=campaign.bootstrap.via,
        )

    def _spec(self, trial: Trial, workload: Workload) -> "TrialSpec":
        from actors.cluster import TrialSpec

        campaign, space = self._composed.campaign, self._composed.space
        is_last = trial.number + 1 >= campaign.search.trials
        return TrialSpec(
            trial=trial,
            nodes=space.nodes(trial.point),
            params=space.params(trial.point),
            validity=campaign.validity,
            workload=workload,
            stamps={"testbed": campaign.testbed.kind, "git_commit": git_commit(), "workload": workload.name},
            ahead="none" if is_last else campaign.testbed.overlap,
        )
