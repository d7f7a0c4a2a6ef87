"""Trials on virtual machines, in real or in virtual time: images, hosts with room, and Ray."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from campaign.config.image_choice import image_name
from campaign.core import optional
from campaign.core.cluster import ClusterModel
from campaign.core.commands import CommandFile
from campaign.core.errors import CapacityError
from campaign.core.files import user_path
from campaign.core.jobs import Workload
from campaign.core.testbed import Testbed
from campaign.core.trials import Trial
from campaign.core.version import software
from campaign.images.bundles.facts import image_facts
from campaign.images.bundles.manifest import Bundle
from campaign.records.collected_logs import CollectedLogs
from campaign.schema.model import Campaign
from campaign.testbeds import NodeImages
from campaign.testbeds.hardware_check import check_hardware
from campaign.testbeds.preflight import (
    bundles_for,
    check_capacity,
    check_expressed,
    check_payload,
    check_ports,
    cluster_model,
)
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import Space

if TYPE_CHECKING:
    from actors.clusters.cluster_spec import ClusterSpec, VirtualTime
    from actors.clusters.trial_spec import TrialSpec
    from actors.hosts.pool import Pool

_log = logging.getLogger(__name__)


class LibvirtBackend:
    """See `campaign.testbeds.Backend`."""

    def __init__(
        self, campaign: Campaign, schedulers: Mapping[str, Scheduler[Params]], space: Space
    ) -> None:
        self._campaign = campaign
        self._schedulers = schedulers
        self._space = space
        self._images: dict[str, Bundle] = {}

    def prepare(self, begun_with: Mapping[str, str]) -> NodeImages:
        """Return the images, built where they are missing, and verified."""
        # Before an image is built, which takes minutes.
        optional.require("vm", f"testbed.kind = {self._campaign.testbed.kind}")
        names = {
            name: image_name(self._campaign, scheduler)
            for name, scheduler in self._schedulers.items()
        }
        self._images = bundles_for(self._campaign.image, names, begun_with)
        for name, bundle in self._images.items():
            check_payload(self._campaign.workload.payload, bundle)
            # An image that lacks a fact is told now, before anything is started.
            bound = self._schedulers[name].for_image(image_facts(bundle.manifest))
            check_expressed(self._campaign, name, bound.expresses, bundle.manifest.name)
        return NodeImages(self._images)

    def check(self) -> None:
        """Raise CampaignError unless clusters fit here and what bootstraps them is installed."""
        smallest, largest = self._space.node_counts()
        check_capacity(self._campaign, largest)
        check_ports(self._campaign.local_hosts, self._campaign.cluster.vms(smallest))
        check_hardware(self._campaign, largest)
        if self._campaign.bootstrap.via == "ansible":
            from actors.bootstrap.ansible import check_installed

            check_installed()

    def open(
        self, stack: ExitStack, workloads: Sequence[Workload], logs: CollectedLogs | None = None
    ) -> Testbed:
        """Start Ray, open the hosts and return the testbed on them."""
        largest = self._space.node_counts()[1]
        model = cluster_model(self._campaign, largest, *workloads)
        return self.open_for(stack, lambda trial: workloads[trial.instance], logs, model=model)

    def open_for(
        self,
        stack: ExitStack,
        workload_of: Callable[[Trial], Workload],
        logs: CollectedLogs | None = None,
        *,
        model: ClusterModel | None = None,
    ) -> Testbed:
        """Do as `open` does, with a workload for each trial; `model` has the users of all jobs."""
        settings = self._campaign.testbed
        pool = self._pool(stack, logs)
        from actors.hosts.placement import Placement
        from actors.libvirt_testbed import LibvirtTestbed

        testbed = LibvirtTestbed(
            pool,
            {name: self._cluster_spec(name, model) for name in self._schedulers},
            lambda trial: self._spec(trial, workload_of(trial)),
            Placement(settings.host_failures),
            heartbeat_timeout_s=settings.heartbeat_timeout_s,
        )
        stack.callback(testbed.close)
        if not testbed.room():
            raise CapacityError(
                "cluster.nodes: the largest cluster fits on none of the hosts that have opened",
                "\n".join(f"{name}: {facts.total}" for name, facts in pool.facts.items()),
                "Use fewer nodes (cluster.nodes), smaller ones (cluster.memory_mib, "
                "cluster.vcpus), or another host.",
            )
        for load in testbed.loads().values():
            if settings.kind == "virtual-time" and load.busy:
                continue  # nothing is disturbed by that, so there is nothing to be warned of
            _log.log(logging.WARNING if load.busy else logging.INFO, "%s", load.introduction)
        return testbed

    def _pool(self, stack: ExitStack, logs: CollectedLogs | None) -> "Pool":
        from actors.hosts import ray_session

        campaign = self._campaign
        # Before anything imports Ray: it reads its environment when it is imported.
        ray_session.prepare(campaign.testbed.ray_address)
        from actors.hosts.pool import Pool

        _log.info("starting Ray and opening the hosts")
        bundles = list({bundle.hash: bundle for bundle in self._images.values()}.values())
        commands = CommandFile(user_path(campaign.output.results) / campaign.name)
        pool = Pool(
            campaign.hosts_in_use,
            bundles,
            campaign.name,
            campaign.testbed,
            commands=commands.new,
            logs=logs,
        )
        stack.enter_context(pool)
        for facts in pool.facts.values():
            kind = facts.acceleration
            _log.info(
                "host %s: %s, guests run under %s (%s)",
                facts.name,
                facts.uri,
                kind.kind,
                kind.reason,
            )
        return pool

    def _cluster_spec(self, name: str, model: ClusterModel | None) -> "ClusterSpec":
        from actors.clusters.cluster_spec import ClusterSpec

        campaign = self._campaign
        smallest, largest = self._space.node_counts()
        return ClusterSpec(
            campaign=campaign.name,
            scheduler=self._schedulers[name],
            settings=campaign.cluster,
            bundle=self._images[name],
            smallest=smallest,
            largest=largest,
            via=campaign.bootstrap.via,
            virtual_time=self._virtual_time(),
            model=model,
        )

    def _virtual_time(self) -> "VirtualTime | None":
        from actors.clusters.cluster_spec import VirtualTime

        testbed = self._campaign.testbed
        if testbed.kind != "virtual-time":
            return None
        return VirtualTime(testbed.real_deadline_s, testbed.stuck_s)

    def _spec(self, trial: Trial, workload: Workload) -> "TrialSpec":
        from actors.clusters.trial_spec import TrialSpec

        campaign = self._campaign
        space = self._space
        # Of several schedulers, nobody knows whose cluster the next trial wants.
        last = trial.number + 1 >= campaign.search.trials
        last = last and trial.instance + 1 >= campaign.workload.instances
        unknown = space.has_arms or last
        return TrialSpec(
            trial=trial,
            scheduler=space.scheduler(trial.point),
            nodes=space.nodes(trial.point),
            params=space.params(trial.point),
            validity=campaign.validity,
            workload=workload,
            provenance=replace(software(), testbed=campaign.testbed.kind, workload=workload.name),
            prefetch="none" if unknown else campaign.testbed.prefetch,
        )
