"""Checks before anything is started: the workload can be read, images are sound, clusters fit."""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Literal

from actors.hosts.placement import shares
from actors.hypervisor.capacity import Capacity, Resources
from actors.hypervisor.ports import free_ports
from campaign.core.cluster import ClusterModel, model_of
from campaign.core.errors import CapacityError, ConfigError, ImageError
from campaign.core.files import user_path
from campaign.core.jobs import Job, Workload
from campaign.core.levers import Lever, levers_in_use
from campaign.images.bundles.manifest import Bundle
from campaign.images.bundles.store import Store
from campaign.schema.hosts import HostSettings
from campaign.schema.image import ImageSettings
from campaign.schema.model import Campaign
from campaign.workloads import load_instances
from campaign.workloads.known_names import known_to
from campaign.workloads.partition_limits import within_partitions
from schedulers.base import Params
from schedulers.interface import Scheduler
from schedulers.topologies import topology_of
from search.space import Space

_log = logging.getLogger(__name__)
BURNER = "stress-ng"


def workload_for(
    campaign: Campaign, schedulers: Mapping[str, Scheduler[Params]], space: Space
) -> Workload:
    """Return the campaign's jobs on the first instance; see `workloads_for`."""
    return next(_prepared(campaign, schedulers, space))


def workloads_for(
    campaign: Campaign, schedulers: Mapping[str, Scheduler[Params]], space: Space
) -> tuple[Workload, ...]:
    """Return the jobs of all instances, sized for the smallest cluster that is searched.

    Those that are held out come last. They name nothing that the cluster lacks. Raises
    WorkloadError when they can't be read, or when one of the schedulers could not run a job on that
    cluster.
    """
    return tuple(_prepared(campaign, schedulers, space))


def _prepared(
    campaign: Campaign, schedulers: Mapping[str, Scheduler[Params]], space: Space
) -> Iterator[Workload]:
    cluster = campaign.cluster
    smallest = space.node_counts()[0]
    count = campaign.workload.instances + campaign.search.held_out
    for drawn in load_instances(campaign.workload, count, slots=cluster.slots(smallest)):
        workload, model = _known(campaign, model_of(cluster, smallest), drawn)
        workload = within_partitions(workload, model)
        topology = topology_of("smallest", smallest, cluster, cluster.memory_mib, model)
        for job in _one_of_each(workload):
            for scheduler in schedulers.values():
                scheduler.nodes_needed(job, topology)
        yield workload


def cluster_model(campaign: Campaign, nodes: int, *workloads: Workload) -> ClusterModel:
    """Return the model of the campaign's cluster of so many nodes, with the workloads' users."""
    model = model_of(campaign.cluster, nodes)
    for workload in workloads:
        _, model = _known(campaign, model, workload)
    return model


def _known(
    campaign: Campaign, model: ClusterModel, workload: Workload
) -> tuple[Workload, ClusterModel]:
    levers = {used.lever for used in levers_in_use(campaign.cluster, campaign.workload)}
    refuse = campaign.workload.unknown == "refuse"
    return known_to(model, workload, levers, refuse=refuse)


def _one_of_each(workload: Workload) -> Iterator[Job]:
    """Yield a job of each kind that may need other nodes than the rest do."""
    if workload.obeyed:
        kinds = {
            (job.width, replace(job.traits, after=None, user_name=None, array=None)): job
            for job in workload.jobs()
        }
        return iter(kinds.values())
    import numpy as np

    _, places = np.unique(workload.table.column("width").to_numpy(), return_index=True)
    return Workload(workload.name, workload.table.take(places)).jobs()


def check_expressed(
    campaign: Campaign, name: str, expresses: Collection[Lever], image: str
) -> None:
    """Raise ConfigError for what the cluster wants and the scheduler can't do on this image."""
    for used in levers_in_use(campaign.cluster, campaign.workload):
        if used.lever not in expresses:
            raise ConfigError(
                f"{used.path} = {used.value!r}: {name} can't express {used.lever.value} on the "
                f"image {image}",
                resolution="Use another image (image.name), or leave it out.",
            )


def store_of(image: ImageSettings) -> Store:
    """Return the image store that a campaign with these settings uses."""
    return Store(user_path(image.store))


def bundles_for(
    image: ImageSettings, names: Mapping[str, str], begun_with: Mapping[str, str]
) -> dict[str, Bundle]:
    """Return the image that the nodes of each scheduler boot, in every trial.

    `names` are those of the images, `begun_with` the hashes of the images that the campaign began
    with, both by scheduler. An image is the one that the campaign began with, else the one that its
    settings name. It is built where the store lacks it and the settings allow that, and verified in
    any case. Before the first is built, all must have what they need. Raises ImageError where an
    image can't be had.
    """
    store = store_of(image)
    wanted = {name for scheduler, name in names.items() if scheduler not in begun_with}
    missing = _to_be_built(image, store, wanted)
    built = _build(image, store, missing)
    return {
        scheduler: built[name]
        if name in built and scheduler not in begun_with
        else _stored(store, image.hash or name, begun_with.get(scheduler))
        for scheduler, name in names.items()
    }


def _to_be_built(image: ImageSettings, store: Store, names: set[str]) -> list[str]:
    if image.hash is not None or image.build != "auto":
        return []
    return sorted(names - {bundle.manifest.name for bundle in store.bundles()})


def _build(image: ImageSettings, store: Store, names: list[str]) -> dict[str, Bundle]:
    if not names:
        return {}
    from campaign.extras.required import require
    from campaign.images.builders import build

    for name in names:
        require(name, image.builder, extras=image.extras)
    built = {}
    how = image.model_dump(include={"builder", "extras", "mirror", "locked"})
    for name in names:
        _log.info("building the image %s (once)", name)
        built[name] = build(name, store=store, **how)
    return built


def _stored(store: Store, wanted: str, begun_with: str | None) -> Bundle:
    try:
        bundle = store.get(begun_with or wanted)
    except ImageError as error:
        if begun_with is None:
            raise
        raise ImageError(
            f"the image that this campaign began with is gone: {begun_with}",
            str(error),
            "Put it back into the store, or use another name= to begin anew with another image.",
        ) from None
    store.verify(bundle)
    return bundle


def check_payload(payload: str, bundle: Bundle) -> None:
    """Raise ConfigError unless the image has the program that the workload's payload needs."""
    if payload == "burn" and BURNER not in bundle.manifest.packages:
        raise ConfigError(
            f"workload.payload: burn needs the package {BURNER}, which the image "
            f"{bundle.manifest.name} doesn't have",
            f"the image is {bundle.hash}",
            "Use an image that has it (image.name=slurm-burn), or workload.payload=sleep. A "
            "campaign that has begun keeps its image: choose another name= too.",
        )


@dataclass(frozen=True)
class Fit:
    """How the largest cluster fits a host: what it needs there, and what the host has.

    Of a cluster that spans hosts, it is the largest part that counts.
    """

    host: str
    acceleration: str
    needed: Resources
    total: Resources

    @property
    def shortfall(self) -> str:
        """What is missing, in words; empty if it fits."""
        missing = Capacity(self.total).fits(self.needed)
        return str(missing) if missing else ""


def fits(campaign: Campaign, largest: int) -> Iterator[Fit]:
    """Yield how a cluster of `largest` compute nodes fits each host that is this machine.

    A host on which guests may run under software emulation is judged for that: it needs more.
    """
    from actors.clusters.attachments import devices_of
    from actors.hosts.device_leases import device_resources
    from actors.hosts.resources import cluster_resources, host_resources
    from actors.hosts.slot import NodeShape
    from actors.hosts.state_dir import state_dir_of

    cluster = campaign.cluster
    vms, *_ = shares(cluster.vms(largest), cluster.hosts)
    virtual = campaign.testbed.kind == "virtual-time"
    wanted = () if virtual else devices_of(cluster, largest)
    dealt = [device_resources(wanted[place :: cluster.hosts]) for place in range(cluster.hosts)]
    devices = max(dealt, key=lambda part: sum(astuple(part)))
    shape = NodeShape(cluster.vcpus, cluster.memory_mib, "virtual" if virtual else "real")
    for name, settings in campaign.local_hosts.items():
        kind: Literal["kvm", "tcg"] = "kvm" if settings.acceleration == "kvm" else "tcg"
        needed = cluster_resources(vms, shape, kind) + devices
        yield Fit(name, kind, needed, host_resources(settings, state_dir_of(settings)))


def check_capacity(campaign: Campaign, largest: int) -> None:
    """Raise CapacityError unless a cluster of `largest` compute nodes fits.

    It fits if as many hosts have room as the cluster spans. A far host may have room: only its own
    actor can tell, later.
    """
    found = list(fits(campaign, largest))
    enough = sum(not fit.shortfall for fit in found) >= campaign.cluster.hosts
    if not campaign.far_hosts and not enough:
        raise CapacityError(
            f"cluster.nodes: a cluster of {campaign.cluster.vms(largest)} VMs (the head included) "
            "fits on no host",
            "\n".join(f"{fit.host}: {fit.shortfall}" for fit in found),
            "Use fewer nodes (cluster.nodes), smaller ones (cluster.memory_mib, cluster.vcpus), "
            "or another host.",
        )


def check_ports(hosts: Mapping[str, HostSettings], vms: int) -> None:
    """Raise CapacityError unless each of `hosts` has free ports for so many VMs.

    Other programs may use some of a host's ports, so they are tried.
    """
    for name, settings in hosts.items():
        low, high = settings.ports
        try:
            free_ports(vms, range(low, high + 1))
        except CapacityError as error:
            raise CapacityError(
                f"hosts.{name}.ports: {error.brief}", error.details, error.resolution
            ) from None
