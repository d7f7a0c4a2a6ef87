"""What must hold before anything is started: the workload can be read, the image is there and
sound, clusters fit."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actors.hosts.placement import shares
from actors.hypervisor.capacity import Capacity, Resources
from actors.hypervisor.ports import free_ports
from campaign.config.compose import Composed
from campaign.core.errors import CapacityError, ConfigError, ImageError
from campaign.core.jobs import Job, Workload
from campaign.images.bundles.manifest import Bundle
from campaign.images.bundles.store import Store
from campaign.records.ledger import Ledger
from campaign.workloads import load
from schedulers.base import Node, Topology

Say = Callable[[str], None]
BURNER = "stress-ng"


def workload_for(composed: Composed) -> Workload:
    """The campaign's jobs, sized for its smallest cluster, each of which the scheduler could run
    there."""
    cluster = composed.campaign.cluster
    workload = load(composed.campaign.workload, slots=composed.smallest_slots)
    node = Node("n1", "compute", "", cluster.slots_per_node, cluster.memory_mib)
    topology = Topology("smallest", (node,) * composed.space.node_counts()[0])
    for job in _one_of_each_width(workload):
        for scheduler in composed.schedulers.values():
            scheduler.nodes_needed(job, topology)
    return workload


def _one_of_each_width(workload: Workload) -> Iterator[Job]:
    import numpy as np

    _, places = np.unique(workload.table.column("width").to_numpy(), return_index=True)
    return Workload(workload.name, workload.table.take(places)).jobs()


def store_of(composed: Composed) -> Store:
    """The image store that the campaign uses."""
    return Store(Path(composed.campaign.image.store).expanduser())


def bundles_for(composed: Composed, ledger: Ledger, say: Say) -> dict[str, Bundle]:
    """The image that the nodes of each scheduler boot, in every trial, by the scheduler's name.

    Each is the one that the campaign began with, else the one that its settings name. It is built
    where the store lacks it and the settings allow that, and verified in any case. Before the first
    is built, all must have what they need.
    """
    head = ledger.history.head
    begun_with: Mapping[str, str] = head["images"] if head else {}
    names = {
        name: composed.image_name(scheduler) for name, scheduler in composed.schedulers.items()
    }
    missing = [
        image
        for name, image in names.items()
        if name not in begun_with and _is_to_be_built(composed, image)
    ]
    if missing:
        from campaign.images.builders import require

        for image in missing:
            require(image, composed.campaign.image.builder, extras=composed.campaign.image.extras)
    return {
        name: _build(composed, image, say)
        if image in missing
        else _stored(composed, image, begun_with.get(name))
        for name, image in names.items()
    }


def _is_to_be_built(composed: Composed, name: str) -> bool:
    image = composed.campaign.image
    stored = any(bundle.manifest.name == name for bundle in store_of(composed).bundles())
    return image.hash is None and image.build == "auto" and not stored


def _build(composed: Composed, name: str, say: Say) -> Bundle:
    from campaign.images.builders import build

    say(f"building the image {name} (once)")
    image = composed.campaign.image
    how = image.model_dump(include={"builder", "extras", "mirror", "locked"})
    return build(name, store=store_of(composed), progress=say, **how)


def _stored(composed: Composed, name: str, begun_with: str | None) -> Bundle:
    store = store_of(composed)
    wanted = begun_with or composed.campaign.image.hash
    try:
        bundle = store.get(wanted or name)
    except ImageError as error:
        if begun_with is None:
            raise
        raise ImageError(
            f"the image that this campaign began with is gone: {begun_with}",
            str(error),
            "Put it back into the store, or choose another name= to begin anew with another image.",
        ) from None
    store.verify(bundle)
    return bundle


def check_payload(composed: Composed, bundle: Bundle) -> None:
    """Raise ConfigError unless the image has the program that the workload's payload needs."""
    payload = composed.campaign.workload.payload
    if payload == "burn" and BURNER not in bundle.manifest.packages:
        raise ConfigError(
            f"workload.payload: burn needs the package {BURNER}, which the image "
            f"{bundle.manifest.name} doesn't have",
            f"the image is {bundle.hash}",
            "Choose an image that has it (image.name=slurm-burn), or workload.payload=sleep. A "
            "campaign that has begun "
            "keeps its image: choose another name= too.",
        )


@dataclass(frozen=True)
class Fit:
    """What the largest cluster, or its largest part if it spans hosts, needs of a host, and what
    the host has."""

    host: str
    acceleration: str
    needed: Resources
    total: Resources

    @property
    def shortfall(self) -> str:
        """What is missing, in words; empty where it fits."""
        missing = Capacity(self.total).fits(self.needed)
        return str(missing) if missing else ""


def fits(composed: Composed) -> Iterator[Fit]:
    """How the largest cluster fits each host of the campaign that is this machine, judged for
    software emulation where that is possible: it needs more."""
    from actors.hosts.resources import cluster_resources, host_resources
    from actors.hosts.slot import NodeShape
    from actors.hosts.state_dir import state_dir_of

    cluster = composed.campaign.cluster
    vms, *_ = shares(composed.space.node_counts()[1] + 1, cluster.hosts)
    for name, settings in composed.campaign.local_hosts.items():
        kind: Literal["kvm", "tcg"] = "kvm" if settings.acceleration == "kvm" else "tcg"
        needed = cluster_resources(vms, NodeShape(cluster.vcpus, cluster.memory_mib), kind)
        yield Fit(name, kind, needed, host_resources(settings, state_dir_of(settings)))


def check_capacity(composed: Composed) -> None:
    """Raise CapacityError unless the largest cluster fits on as many hosts as it spans, or may fit
    on a far one."""
    found = list(fits(composed))
    if (
        not composed.campaign.far_hosts
        and sum(not fit.shortfall for fit in found) < composed.campaign.cluster.hosts
    ):
        vms = composed.space.node_counts()[1] + 1
        raise CapacityError(
            f"cluster.nodes: a cluster of {vms} VMs (the head included) fits on no host",
            "\n".join(f"{fit.host}: {fit.shortfall}" for fit in found),
            "Use fewer nodes (cluster.nodes), smaller ones (cluster.memory_mib, cluster.vcpus), "
            "or another host.",
        )


def check_ports(composed: Composed) -> None:
    """Raise CapacityError unless each host has free ports for the smallest cluster: other programs
    may use them."""
    vms = composed.space.node_counts()[0] + 1
    for name, settings in composed.campaign.local_hosts.items():
        low, high = settings.ports
        try:
            free_ports(vms, range(low, high + 1))
        except CapacityError as error:
            raise CapacityError(
                f"hosts.{name}.ports: {error.brief}", error.details, error.resolution
            ) from None
