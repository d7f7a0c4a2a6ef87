"""A host behind Ray: the actor that owns its VMs, and that actor as clusters and other hosts use
it.

The actor of a far host runs on that host's Ray node, and is the owner of what it starts there: its
machine is another than the driver's, so nobody there could tell whether the driver lives.
"""

import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError

from actors.hosts.host import Host, golden_store, state_dir_of
from actors.hosts.slot import Commitment, HostFacts, NodeBoot, NodeShape, NodeState, Slot, Span
from actors.hypervisor.lease import Owner
from actors.snapshots.registry import GoldenOffer, Stage
from actors.snapshots.snapshot import Golden, Recipe
from actors.transfer.chunks import Kind, Parcel, Piece
from actors.transfer.image_source import Arrivals, Shelf
from campaign.core.errors import CampaignError, InfrastructureError
from campaign.core.version import source_digest
from campaign.images.bundles.manifest import Bundle
from campaign.schema.hosts import HostSettings

PIECE_S = 60.0
STAGE_S = 10.0


class HostActor:
    """Owns the connection to one libvirt host and every VM on it. Each method is the host's of the
    same name."""

    def __init__(self) -> None:
        self._name = ""
        self._host: Host | None = None
        self._peers: Sequence[RemoteShelf] = ()
        self._heard = time.monotonic()  # of the driver
        self._images: dict[str, Bundle] = {}

    def open(
        self,
        name: str,
        settings: HostSettings,
        bundles: Sequence[Bundle],
        campaign: str,
        *,
        owner: Owner | None,
        sources: "Mapping[str, ActorHandle[Any]]",
        version: str,
        patience_s: float,
    ) -> HostFacts:
        """Not the constructor: an error in there would reach the driver as text only.

        Without an `owner`, this process is it, and ends when it has heard nothing of the driver for
        `patience_s`. What of the bundles this host lacks is brought from the `sources`. The
        driver's `version` must be ours: InfrastructureError.
        """
        if version != source_digest():
            raise InfrastructureError(
                f"host {name} runs another version of this program",
                f"there {source_digest()}, on the driver's machine {version}",
                "Update it there, and start its Ray anew.",
            )
        self._name = name
        self._campaign = campaign
        self._store = golden_store(settings)
        state_dir = state_dir_of(settings)
        self._arrivals = Arrivals(state_dir, self._store)
        self._arrivals.sweep()
        shelves = [RemoteShelf(peer, actor) for peer, actor in sources.items()]
        self._images = {bundle.hash: self._arrivals.image(bundle, shelves) for bundle in bundles}
        self._shelf = Shelf(name, self._images.values(), self._store)
        # All images have one kernel; it is booted to find out how guests run.
        self._host = Host(name, settings, self._images[bundles[0].hash], owner or Owner.current())
        self._heard = time.monotonic()
        if owner is None:
            threading.Thread(target=self._end_when_cut_off, args=(patience_s,), daemon=True).start()
        return replace(self._host.facts, address=ray.util.get_node_ip_address())

    def ping(self) -> None:
        """The driver lives, and so do we."""
        self._heard = time.monotonic()

    def meet(self, peers: "Mapping[str, ActorHandle[Any]]") -> None:
        """Learn the actors of the other hosts, from which golden clusters may be had."""
        self._peers = [RemoteShelf(name, actor) for name, actor in peers.items()]

    def parcel(self, kind: Kind, key: str) -> Parcel | None:
        return self._shelf.parcel(kind, key)

    def piece(self, kind: Kind, key: str, file: str, offset: int) -> Piece:
        return self._shelf.piece(kind, key, file, offset)

    def facts(self) -> HostFacts:
        return self._open_host.facts

    def acquire(
        self, cluster: str, nodes: int, shape: NodeShape, expires: int, **wishes: Any
    ) -> Slot:
        """`wishes` are the host's: ahead, holder, span."""
        return self._open_host.acquire(
            cluster, nodes, shape, campaign=self._campaign, expires=expires, **wishes
        )

    def golden(
        self, ingredients: Mapping[str, str], shape: NodeShape, maker: str | None
    ) -> GoldenOffer:
        """What there is on this host; or on another, from which it is brought where the `maker`
        would make it.

        While another host makes it, it is nobody's to make here.
        """
        host = self._open_host
        offer = host.golden(ingredients, shape, maker)
        if not offer.yours:
            return offer
        if self._made_elsewhere(offer.recipe.key):
            host.disclaim(offer.recipe)
            return replace(offer, yours=False)
        try:
            brought = self._arrivals.golden(offer.recipe, self._peers)
        except (CampaignError, OSError):
            brought = None
        if brought is None:
            host.confirm(offer.recipe)
            return offer
        host.disclaim(offer.recipe)
        return host.golden(ingredients, shape, maker)

    def golden_stage(self, key: str) -> Stage:
        """Whether the golden cluster of this key is being made here."""
        return self._open_host.stage(key)

    def has_golden(self, ingredients: Mapping[str, str], shape: NodeShape) -> bool:
        """Whether the golden cluster of these ingredients is in this host's store; it isn't
        verified."""
        recipe = self._open_host.recipe(ingredients, shape)
        return (self._store.path / recipe.key).exists()

    def start(self, slot: Slot, boots: Sequence[NodeBoot], recipe: Recipe | None) -> None:
        self._open_host.start(slot, self._here(boots), recipe)

    def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        self._open_host.restore(slot, self._here(boots), golden)

    def do(self, method: str, *arguments: object) -> Any:
        """Call any other of the host's methods."""
        return getattr(self._open_host, method)(*arguments)

    def close(self) -> None:
        if self._host:
            self._host.close()

    def _made_elsewhere(self, key: str) -> bool:
        """Whether another host makes it. Of several that have claimed it at once, the first by name
        does."""
        stages = {peer.name: peer.golden_stage(key) for peer in self._peers}
        return any(
            stage == "making" or (stage == "claimed" and name < self._name)
            for name, stage in stages.items()
        )

    def _end_when_cut_off(self, patience_s: float) -> None:
        """Ray takes its time to end the actors of a node that has lost its head, if the network
        says nothing at all. The warden does what is left to do."""
        while time.monotonic() < self._heard + patience_s:
            time.sleep(1.0)
        os._exit(1)

    @property
    def _open_host(self) -> Host:
        if self._host is None:
            raise InfrastructureError("the host isn't open")
        return self._host

    def _here(self, boots: Sequence[NodeBoot]) -> list[NodeBoot]:
        """The nodes with their image as this host has it."""
        return [replace(boot, image=self._images[boot.image.hash]) for boot in boots]


class RemoteShelf:
    """What another host's actor, or the driver's, has to give: a `parcels.Source`."""

    def __init__(self, name: str, actor: "ActorHandle[Any]") -> None:
        self.name = name
        self._actor = actor

    def golden_stage(self, key: str) -> Stage:
        """Whether the golden cluster of this key is being made there; "none" if that host is
        away."""
        with contextlib.suppress(CampaignError):
            stage: Stage = got(
                self._actor.golden_stage.remote(key), STAGE_S, f"{self.name} didn't answer"
            )
            return stage
        return "none"

    def parcel(self, kind: Kind, key: str) -> Parcel | None:
        parcel: Parcel | None = got(
            self._actor.parcel.remote(kind, key), PIECE_S, f"{self.name} didn't answer"
        )
        return parcel

    def piece(self, kind: Kind, key: str, file: str, offset: int) -> Piece:
        piece: Piece = got(
            self._actor.piece.remote(kind, key, file, offset), PIECE_S, f"{self.name} sent no piece"
        )
        return piece


class RemoteHost:
    """A host's actor as a cluster uses it: the errors that it raised come out as they are, not
    wrapped by Ray.

    It is an `actors.clusters.live.HostHandle`. Slots are taken in the name of `holder`.
    """

    def __init__(self, actor: "ActorHandle[Any]", holder: str) -> None:
        self._actor = actor
        self._holder = holder

    async def facts(self) -> HostFacts:
        facts: HostFacts = await asked(self._actor.facts.remote())
        return facts

    async def acquire(
        self,
        cluster: str,
        nodes: int,
        shape: NodeShape,
        expires: int,
        ahead: bool = False,
        *,
        span: Span | None = None,
    ) -> Slot:
        wishes = {"ahead": ahead, "holder": self._holder, "span": span}
        slot: Slot = await asked(
            self._actor.acquire.remote(cluster, nodes, shape, expires, **wishes)
        )
        return slot

    async def claim(self, slot: Slot, expires: int) -> None:
        await self._do("claim", slot, expires)

    async def start(
        self, slot: Slot, boots: Sequence[NodeBoot], recipe: Recipe | None = None
    ) -> None:
        await asked(self._actor.start.remote(slot, boots, recipe))

    async def golden(
        self, ingredients: Mapping[str, str], shape: NodeShape, *, make: bool
    ) -> GoldenOffer:
        maker = self._holder if make else None
        offer: GoldenOffer = await asked(self._actor.golden.remote(ingredients, shape, maker))
        return offer

    async def disclaim(self, recipe: Recipe) -> None:
        await self._do("disclaim", recipe)

    async def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        golden: Golden = await self._do("save", slot, names, identity)
        return golden

    async def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        await asked(self._actor.restore.remote(slot, boots, golden))

    async def resume(self, slot: Slot, names: Sequence[str]) -> None:
        await self._do("resume", slot, names)

    async def drop(self, slot: Slot, names: Sequence[str]) -> None:
        await self._do("drop", slot, names)

    async def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        states: list[NodeState] = await self._do("look", slot, names)
        return states

    async def commitment(self) -> Commitment:
        commitment: Commitment = await self._do("commitment")
        return commitment

    async def release(self, slot: Slot) -> None:
        await self._do("release", slot)

    async def _do(self, method: str, *arguments: object) -> Any:
        return await asked(self._actor.do.remote(method, *arguments))


def unwrapped(error: RayError) -> Exception:
    """The error that an actor raised, where it is one of ours; else an InfrastructureError saying
    what Ray said."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, CampaignError):
        return cause
    last = str(error).strip().splitlines()[-1].strip()
    return InfrastructureError(f"an actor failed: {last}", str(error)[-3000:])


def got(reference: Any, timeout_s: float, what: str) -> Any:
    """What an actor answers; InfrastructureError saying `what` if it doesn't in time, or its own
    error."""
    try:
        return ray.get(reference, timeout=timeout_s)
    except GetTimeoutError:
        raise InfrastructureError(f"{what} within {timeout_s:g} s") from None
    except RayError as error:
        raise unwrapped(error) from None


async def asked(reference: Any) -> Any:
    """The same, awaited, for as long as it takes."""
    try:
        return await reference
    except RayError as error:
        raise unwrapped(error) from None
