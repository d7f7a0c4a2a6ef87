"""A host behind Ray: the actor that owns its VMs, and that actor as other hosts use it.

The actor of a far host runs on that host's Ray node, and is the owner of what it starts there: its
machine is another than the driver's, so nobody there could tell whether the driver lives.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import ray

from actors.hosts.actor_log import LogPlace, sweep_logs
from actors.hosts.device_leases import Wanted
from actors.hosts.host import Host
from actors.hosts.load_sampler import LoadSampler, sampler_for
from actors.hosts.remote_call import RemoteActor, in_callers_context
from actors.hosts.slot import (
    HostFacts,
    HostUsage,
    NodeBoot,
    NodeShape,
    NodeState,
    SharedNetwork,
    Slot,
)
from actors.hosts.state_dir import golden_store, state_dir_of
from actors.hypervisor.lease import Owner
from actors.snapshots.lock import LockState
from actors.snapshots.registry import SnapshotOffer
from actors.snapshots.snapshot import Golden, SnapshotKey
from actors.transfer.chunks import Chunk, Kind, Server, TransferManifest
from actors.transfer.image_source import ImageSource, Incoming
from campaign.core import log
from campaign.core.errors import CampaignError, InfrastructureError
from campaign.core.host_load import LoadSample
from campaign.core.version import source_digest
from campaign.guest.exchange import GuestProgress
from campaign.images.bundles.manifest import Bundle
from campaign.schema.hosts import HostSettings

CHUNK_TIMEOUT_S = 60.0
LOCK_TIMEOUT_S = 10.0
STATES_LOGGED_S = 5.0
"""Nodes are looked at every other second; the log needs their states when they change or a phase
begins, and from time to time to show that somebody looked."""

_log = logging.getLogger(__name__)


class HostActor:
    """Owns the connection to one libvirt host and every VM on it.

    The methods about slots and golden clusters are those of `Host`. Its log says for which trial
    and in which phase it did what (`in_callers_context`).
    """

    def __init__(self) -> None:
        self._name = ""
        self._host: Host | None = None
        self._peers: Sequence[RemotePeer] = ()
        self._last_ping = time.monotonic()
        self._images: dict[str, Bundle] = {}
        self._log_place: LogPlace | None = None
        self._sampler: LoadSampler | None = None
        self._logged_states: dict[str, tuple[str, float]] = {}  # by cluster: what, and when

    def open(
        self,
        name: str,
        settings: HostSettings,
        bundles: Sequence[Bundle],
        campaign: str,
        *,
        owner: Owner | None,
        sources: Mapping[str, RemoteActor[Server]],
        version: str,
        driver_timeout_s: float,
        log_place: LogPlace | None,
    ) -> HostFacts:
        """Open the host; to be called once, before all other methods.

        It isn't the constructor, because an error in there would reach the driver as text only.
        Without an `owner`, this process is it, and ends when it has heard nothing of the driver for
        `driver_timeout_s`. Those of the bundles that this host lacks are brought from the
        `sources`. What this actor logs goes to `log_place`. Raises InfrastructureError if the
        driver's `version` isn't ours, and what opening a host can meet.
        """
        log.set_defaults(campaign=campaign, host=name)
        self._log_place = log_place
        if log_place:
            log_place.begin(f"host-{name}")
        # Ray pickles what the two sides send each other, so both need the same classes.
        if version != source_digest():
            raise InfrastructureError(
                f"host {name} runs another version of this program",
                f"there {source_digest()}, on the driver's machine {version}",
                "Upgrade it on that host and restart Ray.",
            )
        self._name = name
        self._campaign = campaign
        answerable = owner or Owner.current()
        self._sampler = sampler_for(settings, answerable, driver_here=owner is not None)
        with log.span(_log, f"opening host {name} (process {os.getpid()})"):
            self._open(settings, bundles, answerable, sources)
        self._sampler.start()
        # Opening may take minutes, in which nobody pings.
        self._last_ping = time.monotonic()
        if owner is None:
            threading.Thread(
                target=self._end_when_cut_off, args=(driver_timeout_s,), daemon=True
            ).start()
        return replace(self._open_host.facts, address=ray.util.get_node_ip_address())

    def ping(self) -> None:
        """Take note that the driver lives; an answer says that this actor does."""
        self._last_ping = time.monotonic()

    def set_peers(self, peers: "Mapping[str, RemoteActor[HostActor]]") -> None:
        """Learn the actors of the other hosts, from which golden clusters may be had."""
        self._peers = [RemotePeer(name, actor) for name, actor in peers.items()]
        self._open_host.snapshot_lock.set_peers(self._peers)

    def manifest(self, kind: Kind, key: str) -> TransferManifest | None:
        """Return the manifest of a bundle or golden cluster that this host has; else None."""
        return self._source.manifest(kind, key)

    def chunk(self, kind: Kind, key: str, file: str, offset: int) -> Chunk:
        """Return a part of a file of a bundle or golden cluster that this host has."""
        return self._source.chunk(kind, key, file, offset)

    def lock_state(self, key: str) -> LockState:
        """Return how far the making of a golden cluster is on this host."""
        return self._open_host.snapshot_lock.state(key)

    def has_golden(self, key_inputs: Mapping[str, str], shape: NodeShape) -> bool:
        """Return whether a golden cluster is in this host's store; it isn't verified."""
        key = self._open_host.snapshot_key(key_inputs, shape)
        return (self._store.path / key.digest).exists()

    def facts(self) -> HostFacts:
        """Return what the host is."""
        return self._open_host.facts

    @in_callers_context
    def acquire(
        self,
        cluster: str,
        nodes: int,
        shape: NodeShape,
        expires: int,
        *,
        preemptible: bool,
        holder: str,
        shared: SharedNetwork | None,
        devices: Sequence[Wanted],
    ) -> Slot:
        """Give a cluster its slot."""
        return self._open_host.acquire(
            cluster,
            nodes,
            shape,
            campaign=self._campaign,
            expires=expires,
            preemptible=preemptible,
            holder=holder,
            shared=shared,
            devices=devices,
        )

    @in_callers_context
    def pin(self, slot: Slot, expires: int) -> None:
        """Make a preemptible slot a lasting one."""
        self._open_host.pin(slot, expires)

    @in_callers_context
    def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None:
        """Start the nodes of a slot."""
        self._open_host.start(slot, self._with_own_images(boots))

    @in_callers_context
    def drop(self, slot: Slot, names: Sequence[str]) -> None:
        """End some nodes of a slot."""
        self._open_host.drop(slot, names)

    @in_callers_context
    def states(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        """Return the state of nodes of a slot."""
        states = self._open_host.states(slot, names)
        self._log_states(slot.cluster, states)
        return states

    def progress(self, slot: Slot, name: str) -> GuestProgress | None:
        """Return what a guest in virtual time says of its task."""
        return self._open_host.progress(slot, name)

    @in_callers_context
    def result(self, slot: Slot, name: str) -> bytes:
        """Return what a guest in virtual time has left in its exchange."""
        return self._open_host.result(slot, name)

    def cpu_s(self, slot: Slot, name: str) -> float:
        """Return the CPU time that a running node's emulator has used so far, seconds."""
        return self._open_host.cpu_s(slot, name)

    def usage(self) -> HostUsage:
        """Return what is promised to nodes just now."""
        return self._open_host.usage()

    def load(self, window_s: float) -> dict[str, list[LoadSample]]:
        """Return how busy this machine was in the last `window_s` seconds, by the host's name."""
        return {self._name: self._sampler.samples_until_now(window_s)} if self._sampler else {}

    @in_callers_context
    def release(self, slot: Slot) -> None:
        """End the nodes of a slot and give it back."""
        self._open_host.release(slot)
        self._logged_states.pop(slot.cluster, None)

    @in_callers_context
    def release_all_of(self, holder: str) -> None:
        """Give back what a dead holder had: its slots, and the right to make golden clusters."""
        with log.span(_log, f"releasing all of {holder}"):
            self._open_host.release_all_of(holder)

    @in_callers_context
    def lookup(
        self, key_inputs: Mapping[str, str], shape: NodeShape, owner: str | None
    ) -> SnapshotOffer:
        """Return a golden cluster of this host, or bring it from another host that has it."""
        offer = self._open_host.lookup(key_inputs, shape, owner, self._fetch)
        found = "here" if offer.golden else "for the caller to make" if offer.yours else "not here"
        _log.debug("golden cluster %s: %s", offer.key.digest[:16], found)
        return offer

    @in_callers_context
    def unlock(self, key: SnapshotKey, owner: str) -> None:
        """Give the right to make a golden cluster back."""
        _log.debug("golden cluster %s: unlocked by %s", key.digest[:16], owner)
        self._open_host.snapshot_lock.release(key.digest, owner)

    @in_callers_context
    def start_recorded(self, slot: Slot, boots: Sequence[NodeBoot], key: SnapshotKey) -> None:
        """Start the nodes of a slot such that they can be saved."""
        self._open_host.start_recorded(slot, self._with_own_images(boots), key)

    @in_callers_context
    def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        """Save nodes of a slot as a golden cluster."""
        return self._open_host.save(slot, names, identity)

    @in_callers_context
    def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        """Start the nodes of a slot from a golden cluster, paused."""
        self._open_host.restore(slot, self._with_own_images(boots), golden)

    @in_callers_context
    def resume(self, slot: Slot, names: Sequence[str]) -> None:
        """Let restored nodes run."""
        self._open_host.resume(slot, names)

    def log_sizes(self) -> dict[str, int]:
        """Return the sizes of the logs of this campaign's actors on this host, dead ones too."""
        return self._log_place.sizes() if self._log_place else {}

    def log_chunk(self, name: str, offset: int) -> bytes:
        """Return a part of one of these logs; see `LogPlace.chunk`."""
        return self._log_place.chunk(name, offset) if self._log_place else b""

    def remove_logs(self, sizes: Mapping[str, int]) -> None:
        """Remove logs that are elsewhere by now; see `LogPlace.remove`."""
        if self._log_place:
            self._log_place.remove(sizes)

    def close(self) -> None:
        """End all that runs on the host for this campaign; harmless if it never opened."""
        if self._sampler:
            self._sampler.stop()
        if self._host:
            with log.span(_log, f"closing host {self._name}"):
                self._host.close()

    def _open(
        self,
        settings: HostSettings,
        bundles: Sequence[Bundle],
        owner: Owner,
        sources: Mapping[str, RemoteActor[Server]],
    ) -> None:
        store = golden_store(settings)
        state_dir = state_dir_of(settings)
        sweep_logs(state_dir, time.time())
        self._store = store
        self._incoming = Incoming(state_dir, store)
        self._incoming.sweep()
        remote_sources = [RemoteSource(peer, actor) for peer, actor in sources.items()]
        with log.span(_log, f"verifying {len(bundles)} images, bringing those that aren't here"):
            self._images = {
                bundle.hash: self._incoming.image(bundle, remote_sources) for bundle in bundles
            }
        self._source = ImageSource(self._name, self._images.values(), store)
        # All images have one kernel; it is booted to find out how guests run.
        self._host = Host(self._name, settings, self._images[bundles[0].hash], owner)
        facts = self._host.facts
        kind = facts.acceleration
        _log.debug(
            "%s, guests run under %s (%s); %s", facts.uri, kind.kind, kind.reason, facts.total
        )

    def _fetch(self, key: SnapshotKey) -> Golden | None:
        try:
            with log.span(_log, f"asking other hosts for golden cluster {key.digest[:16]}"):
                return self._incoming.golden(key, self._peers)
        # No reason to fail: a golden cluster that can't be brought is made here.
        except (CampaignError, OSError) as error:
            _log.warning("golden cluster %s isn't brought here: %s", key.digest[:16], error)
            return None

    def _log_states(self, cluster: str, states: Sequence[NodeState]) -> None:
        text = ", ".join(
            f"{state.name} {state.state}" + (f" ({state.fault})" if state.fault else "")
            for state in states
        )
        now = time.monotonic()
        told = f"{log.current().get('phase')}: {text}"
        last = self._logged_states.get(cluster)
        if last is None or told != last[0] or now >= last[1] + STATES_LOGGED_S:
            self._logged_states[cluster] = (told, now)
            with log.context(cluster=cluster):
                _log.debug("nodes: %s", text)

    def _end_when_cut_off(self, driver_timeout_s: float) -> None:
        # Ray takes its time to end the actors of a node that has lost its head, if the network
        # says nothing at all. The watchdog does what is left to do.
        while time.monotonic() < self._last_ping + driver_timeout_s:
            time.sleep(1.0)
        _log.error("the driver hasn't been heard of for %g s: this actor ends", driver_timeout_s)
        # sys.exit would only end this thread.
        os._exit(1)

    @property
    def _open_host(self) -> Host:
        if self._host is None:
            raise InfrastructureError("the host isn't open")
        return self._host

    def _with_own_images(self, boots: Sequence[NodeBoot]) -> list[NodeBoot]:
        # The driver's paths of the images need not exist on this machine.
        return [replace(boot, image=self._images[boot.image.hash]) for boot in boots]


class RemoteSource:
    """The bundles that another host's actor, or the driver's, has to give: a `chunks.Source`."""

    def __init__(self, name: str, actor: RemoteActor[Server]) -> None:
        self.name = name
        self._server = actor

    def manifest(self, kind: Kind, key: str) -> TransferManifest | None:
        """Ask for a manifest; InfrastructureError if there is no answer in time."""
        failure = f"{self.name} didn't answer"
        return self._server.call_within(CHUNK_TIMEOUT_S, failure, Server.manifest, kind, key)

    def chunk(self, kind: Kind, key: str, file: str, offset: int) -> Chunk:
        """Ask for a chunk; InfrastructureError if there is no answer in time."""
        failure = f"{self.name} sent no chunk"
        return self._server.call_within(
            CHUNK_TIMEOUT_S, failure, Server.chunk, kind, key, file, offset
        )


class RemotePeer(RemoteSource):
    """Another host: what it has to give, and its lock on golden clusters (a `LockPeer`)."""

    def __init__(self, name: str, actor: RemoteActor[HostActor]) -> None:
        super().__init__(name, actor)
        self._actor = actor

    def lock_state(self, key: str) -> LockState:
        """Ask how far the making of a golden cluster is there; "free" if the host is away."""
        with contextlib.suppress(CampaignError):
            return self._actor.call_within(
                LOCK_TIMEOUT_S, f"{self.name} didn't answer", HostActor.lock_state, key
            )
        return "free"
