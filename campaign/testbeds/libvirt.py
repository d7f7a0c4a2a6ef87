"""Trials on virtual machines: an image, hosts with room, Ray, and the actors that own them."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.config.compose import Composed
from campaign.core import optional
from campaign.core.commands import Orders
from campaign.core.errors import CapacityError
from campaign.core.jobs import Workload
from campaign.core.testbed import Testbed
from campaign.core.trials import Trial
from campaign.core.version import software
from campaign.images.bundles.facts import image_facts
from campaign.images.bundles.manifest import Bundle
from campaign.records.ledger import Ledger
from campaign.testbeds import Say, Software
from campaign.testbeds.preflight import bundles_for, check_capacity, check_payload, check_ports

if TYPE_CHECKING:
    from actors.clusters.cluster_spec import ClusterSpec
    from actors.clusters.trial_run import TrialSpec


class OnLibvirt:
    """See `campaign.testbeds.Means`."""

    def __init__(self, composed: Composed) -> None:
        self._composed = composed
        self._images: dict[str, Bundle] = {}

    def prepare(self, ledger: Ledger, say: Say) -> Software:
        # Before an image is built, which takes minutes.
        optional.require("vm", "testbed.kind = libvirt")
        self._images = bundles_for(self._composed, ledger, say)
        for name, bundle in self._images.items():
            check_payload(self._composed, bundle)
            # An image that lacks a fact is told now, before anything is started.
            self._composed.schedulers[name].for_image(image_facts(bundle.manifest))
        return Software(self._images)

    def check(self) -> None:
        check_capacity(self._composed)
        check_ports(self._composed)
        if self._composed.campaign.bootstrap.via == "ansible":
            from actors.bootstrap.ansible import check_installed

            check_installed()

    def open(self, stack: ExitStack, workload: Workload, say: Say) -> Testbed:
        return self.open_for(stack, lambda trial: workload, say)

    def open_for(
        self, stack: ExitStack, workload_of: Callable[[Trial], Workload], say: Say
    ) -> Testbed:
        """The same, with a workload for each trial."""
        from actors.hosts import ray_session

        campaign = self._composed.campaign
        ray_session.prepare(campaign.testbed.ray_address)
        from actors.hosts.placement import Placement
        from actors.hosts.pool import Pool
        from actors.libvirt_testbed import LibvirtTestbed

        say("starting Ray and opening the hosts")
        bundles = list({bundle.hash: bundle for bundle in self._images.values()}.values())
        orders = Orders(Path(campaign.output.results) / campaign.name)
        pool = Pool(
            campaign.hosts_in_use,
            bundles,
            campaign.name,
            campaign.testbed,
            say=say,
            orders=orders.new,
        )
        stack.enter_context(pool)
        for facts in pool.facts.values():
            kind = facts.acceleration
            say(f"host {facts.name}: {facts.uri}, guests run under {kind.kind} ({kind.reason})")
        testbed = LibvirtTestbed(
            pool,
            {name: self._cluster_spec(name) for name in self._composed.schedulers},
            lambda trial: self._spec(trial, workload_of(trial)),
            Placement(campaign.testbed.host_failures),
            say,
            silence_s=campaign.testbed.silence_s,
        )
        stack.callback(testbed.close)
        if not testbed.room():
            raise CapacityError(
                "cluster.nodes: the largest cluster fits on none of the hosts that have opened",
                "\n".join(f"{name}: {facts.total}" for name, facts in pool.facts.items()),
                "Use fewer nodes (cluster.nodes), smaller ones (cluster.memory_mib, "
                "cluster.vcpus), or another host.",
            )
        return testbed

    def _cluster_spec(self, name: str) -> "ClusterSpec":
        from actors.clusters.cluster_spec import ClusterSpec

        campaign = self._composed.campaign
        smallest, largest = self._composed.space.node_counts()
        return ClusterSpec(
            campaign=campaign.name,
            scheduler=self._composed.schedulers[name],
            settings=campaign.cluster,
            bundle=self._images[name],
            smallest=smallest,
            largest=largest,
            via=campaign.bootstrap.via,
        )

    def _spec(self, trial: Trial, workload: Workload) -> "TrialSpec":
        from actors.clusters.trial_run import TrialSpec

        campaign = self._composed.campaign
        space = self._composed.space
        # Of several schedulers, nobody knows whose cluster the next trial wants.
        unknown = space.conditional or trial.number + 1 >= campaign.search.trials
        return TrialSpec(
            trial=trial,
            scheduler=space.scheduler(trial.point),
            nodes=space.nodes(trial.point),
            params=space.params(trial.point),
            validity=campaign.validity,
            workload=workload,
            provenance=replace(software(), testbed=campaign.testbed.kind, workload=workload.name),
            prefetch="none" if unknown else campaign.testbed.overlap,
        )
