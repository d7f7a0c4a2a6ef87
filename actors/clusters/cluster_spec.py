"""What the clusters of a campaign have in common: scheduler, image, sizes, and their deadlines."""

import hashlib
import re
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from actors.clusters.attachments import cards_of, devices_of
from actors.clusters.guest_task import golden_task, seeded
from actors.clusters.identity import configured_topology
from actors.clusters.limits import PhaseLimit, scheduled_limit
from actors.hosts.device_leases import Wanted
from actors.hosts.slot import NodeShape
from actors.hypervisor.attached import NetworkCard
from campaign import guest
from campaign.core.cluster import ClusterModel
from campaign.core.time_limits import MOST_PRESSURE, TimeLimits, stretch_of
from campaign.guest.task import pack
from campaign.images.bundles.facts import image_facts
from campaign.images.bundles.manifest import Bundle
from campaign.schema.model import ClusterSettings
from schedulers.base import BootstrapPlan, Node, Params, Secrets, Topology
from schedulers.interface import BoundScheduler, Scheduler

LEASE_MARGIN_S = 120
"""A slot's lease outlives the sum of the deadlines by this, for what no deadline is on."""
NODES_LIKE_ONE = 32
"""So many nodes that start in one VM take as long again as a node by itself may take."""
ANSIBLE_DEADLINE_FACTOR = 8
"""How many times longer than our own bootstrap a playbook may take: every module starts a Python on
the node."""


@dataclass(frozen=True)
class ClusterLimits:
    """How long each phase of a cluster's life may take on one host, and each question to a node."""

    boot: PhaseLimit
    configure: PhaseLimit
    smoke_test: PhaseLimit
    collect: PhaseLimit
    questions: TimeLimits

    @property
    def making_s(self) -> float:
        """The seconds for all phases of making a cluster together."""
        return self.boot.seconds + self.configure.seconds + self.smoke_test.seconds


@dataclass(frozen=True)
class VirtualTime:
    """The limits of a trial in virtual time; `campaign.schema.hosts` says what each means."""

    real_deadline_s: float
    stuck_s: float


@dataclass(frozen=True)
class ClusterSpec:
    """What all clusters of a campaign under one scheduler have in common.

    `smallest` and `largest` count compute nodes; `via` says who applies bootstrap plans. Clusters
    with `virtual_time` have their nodes in one guest, whose clock counts instructions. `model` has
    the users of the workload's jobs, beside what the settings say.
    """

    campaign: str
    scheduler: Scheduler[Params]
    settings: ClusterSettings
    bundle: Bundle
    smallest: int
    largest: int
    via: Literal["ssh", "ansible"] = "ssh"
    virtual_time: VirtualTime | None = None
    model: ClusterModel | None = None

    @cached_property
    def bound(self) -> BoundScheduler[Params]:
        """The adapter, bound to the image's facts; ImageError if one is missing."""
        return self.scheduler.for_image(image_facts(self.bundle.manifest))

    @property
    def shape(self) -> NodeShape:
        clock: Literal["real", "virtual"] = "virtual" if self.virtual_time else "real"
        return NodeShape(self.settings.vcpus, self.settings.memory_mib, clock)

    @property
    def cold_only(self) -> bool:
        """True if every cluster is booted.

        One across hosts can't be saved at one instant, a real device's state not at all, and copies
        of one card can't be on a network together.
        """
        settings = self.settings
        return settings.start == "cold" or settings.hosts > 1 or settings.attached

    def limits(self, slowness: float, pressure: float = 1.0) -> ClusterLimits:
        """Return the limits on a host of this slowness, under this pressure.

        Slowness is how many times slower than the reference machine the host is, pressure how many
        times longer work takes at present because of other programs (see
        `campaign.core.time_limits`). `cluster.boot_deadline_s` and `cluster.bootstrap_deadline_s`
        are the limits where a campaign sets them, and the least ones where it doesn't.
        """
        own = self.scheduler.phase_limits
        name = self.scheduler.name
        stretch = stretch_of(slowness, pressure)
        return ClusterLimits(
            boot=self._limit("boot", "boot_deadline_s", own.boot_s, stretch),
            configure=self._limit(
                "configure",
                "bootstrap_deadline_s",
                own.configure_s * self._crowd,
                stretch,
                factor=ANSIBLE_DEADLINE_FACTOR if self.via == "ansible" else 1,
            ),
            smoke_test=scheduled_limit("smoke test", name, own.smoke_test_s * self._crowd, stretch),
            collect=scheduled_limit("collecting", name, own.collect_s, stretch),
            questions=TimeLimits.on(slowness, pressure),
        )

    @property
    def _crowd(self) -> float:
        """How many times longer starting all nodes takes than starting one."""
        return 1 + self.largest / NODES_LIKE_ONE if self.settings.dense else 1.0

    def lease_s(self, slowness: float) -> float:
        """Return how long a slot may be needed at most on such a host, seconds."""
        if self.virtual_time:
            return self.virtual_time.real_deadline_s + LEASE_MARGIN_S
        limits = self.limits(slowness, MOST_PRESSURE)
        used_s = self.settings.workload_deadline_s + limits.questions.unanswered_s
        return limits.making_s + used_s + limits.collect.seconds + LEASE_MARGIN_S

    def trial_deadline_s(self, slowness: float) -> float:
        """Return how long a trial may take at most on such a host, seconds.

        That is one whose golden cluster is made first, can't be restored then, and is replaced by a
        cold boot. In virtual time, the trial's own deadline is meant for that.
        """
        if self.virtual_time:
            return self.lease_s(slowness)
        return self.lease_s(slowness) + 2 * self.limits(slowness, MOST_PRESSURE).making_s

    def topology(self, nodes: int) -> Topology:
        """Return a cluster of a head and `nodes` compute nodes."""
        return configured_topology(nodes, self.settings, self.scheduler, self.model)

    def devices(self, topology: Topology) -> tuple[Wanted, ...]:
        """Return the devices that each VM of a cluster wants, in their order."""
        return () if self.virtual_time else devices_of(self.settings, len(topology.compute))

    def cards(self, topology: Topology, cluster: str) -> dict[str, tuple[NetworkCard, ...]]:
        """Return the cards on further networks of the VMs in the slot `cluster`, by VM."""
        return {} if self.virtual_time else cards_of(self.settings, len(topology.compute), cluster)

    def name(self, purpose: str) -> str:
        """Return a host name label for a cluster, unique per campaign, purpose and moment."""
        digest = hashlib.sha256(f"{self.campaign}/{purpose}/{time.time_ns()}".encode()).hexdigest()
        # Cut short, since a domain's cluster label has 32 characters at most (see `NodeSpec`).
        label = re.sub(r"[^a-z0-9]+", "-", self.campaign)[:12].strip("-")
        return f"{label}-{purpose}-{digest[:6]}"

    def base_plan(self, secrets: Secrets | None = None) -> BootstrapPlan:
        """Return the plan of a golden cluster: the scheduler's defaults, on the largest cluster.

        It has a step per VM, and fresh keys if no `secrets` are given.
        """
        return self.cold_plan(self.topology(self.largest), self.scheduler.Params(), secrets)

    def cold_plan(
        self, topology: Topology, params: Params, secrets: Secrets | None = None
    ) -> BootstrapPlan:
        """Return the plan from booted VMs to a cluster, with a step per VM.

        It has fresh keys if no `secrets` are given.
        """
        if secrets is None:
            secrets = self.scheduler.make_secrets()
        return self.bound.plan(topology, params, secrets).by_guest(topology)

    def surplus(self, topology: Topology) -> dict[str, list[Node]]:
        """Return by VM the nodes that the largest cluster has there and `topology` doesn't."""
        largest = self.topology(self.largest)
        found = {
            guest: [node for node in largest.nodes_of(guest) if node not in topology.nodes]
            for guest in topology.guests
        }
        return {guest: nodes for guest, nodes in found.items() if nodes}

    def _limit(
        self, phase: str, setting: str, base_s: float, stretch: float, factor: int = 1
    ) -> PhaseLimit:
        set_s: float = getattr(self.settings, setting) * factor
        name = self.scheduler.name
        resolution = f"Raise cluster.{setting} if that is merely slow."
        own = scheduled_limit(phase, name, base_s * factor, stretch)
        if setting in self.settings.model_fields_set or set_s >= own.seconds:
            return PhaseLimit(phase, name, set_s, f"cluster.{setting}", resolution)
        return replace(own, resolution=resolution)

    def key_inputs(self) -> dict[str, str]:
        """Return all that shapes a golden cluster, beside its host."""
        # They are pushed to the nodes before these are saved, so they are part of the snapshot.
        instruments = hashlib.sha256(b"".join(guest.files().values())).hexdigest()
        task = {"task": hashlib.sha256(self._first_task()).hexdigest()} if self.virtual_time else {}
        return task | {
            "image": self.bundle.hash,
            "scheduler": self.scheduler.name,
            # The digest leaves out the secrets, which are drawn anew each time.
            "plan": self.base_plan().digest,
            "nodes": str(self.largest),
            "vcpus": str(self.settings.vcpus),
            "memory_mib": str(self.settings.memory_mib),
            "instruments": instruments,
        }

    def _first_task(self) -> bytes:
        """Return a task as a closed guest would be booted with, but for its secrets."""
        plan = self.base_plan(self.scheduler.make_secrets(seeded("")))
        return pack(golden_task(self.bound, self.topology(self.largest), plan))
