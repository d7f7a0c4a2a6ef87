"""Settings of the testbed on which trials are evaluated, and of its hosts."""

import re
from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, field_validator

from campaign.schema.devices import LINK_PATTERN, DeviceSettings
from campaign.schema.settings import NAME_PATTERN, Settings, setting


class HostSettings(Settings):
    """A machine with libvirt on it."""

    reach: Literal["local", "ray"] = setting(
        "local",
        help="local: this machine; ray: the node of the Ray at testbed.ray_address whose label "
        "`host` is the host's name (hpc-campaign host join NAME says how to start it)",
    )
    group: str = setting(
        "", help="hosts that are alike; testbed.group keeps a campaign to those of one group"
    )
    uri: str = setting(
        "auto",
        help="libvirt URI, as seen on the host itself; auto: a running libvirtd, else a private "
        "one",
    )
    state_dir: str = setting(
        "$XDG_STATE_HOME/campaign", help="run folders of VMs and of the private libvirtd"
    )
    bridge: str | None = setting(
        None,
        help="a bridge of the site's that joins clusters which span hosts; else each gets a "
        "VXLAN (as root)",
        pattern=LINK_PATTERN,
    )
    acceleration: Literal["auto", "kvm", "tcg"] = setting(
        "auto", help="auto: by booting the image's kernel under KVM"
    )
    memory_mib: int | None = setting(
        None, help="memory for VMs (default: 80 % of what is free)", unit="MiB", ge=256
    )
    vcpus: int | None = setting(
        None, help="vCPUs for VMs (default: 8 per CPU of the host)", unit="vCPUs", ge=1
    )
    golden_mib: int = setting(
        8192,
        help="disk space for golden clusters; beyond it the least used are removed",
        unit="MiB",
        ge=0,
    )
    ports: Annotated[list[int], Field(min_length=2, max_length=2)] = setting(
        [22200, 22999],
        help="loopback TCP ports for SSH to the nodes",
        allowed="[low, high] within 1024..65535",
    )
    devices: dict[str, DeviceSettings] = setting(
        factory=dict,
        help="name: device, the PCI devices that nodes may be given",
        allowed="name: {setting: value}",
    )

    @field_validator("devices")
    @classmethod
    def _each_once(cls, devices: dict[str, DeviceSettings]) -> dict[str, DeviceSettings]:
        if wrong := [name for name in devices if not re.fullmatch(NAME_PATTERN, name)]:
            raise ValueError(f"names of devices match {NAME_PATTERN}, but {wrong[0]!r} doesn't")
        named = Counter(one for device in devices.values() for one in device.functions)
        if twice := [address for address, times in named.items() if times > 1]:
            raise ValueError(f"{twice[0]} is named twice: a device belongs to one node at a time")
        return devices

    @field_validator("uri")
    @classmethod
    def _of_the_host_itself(cls, uri: str) -> str:
        scheme, _, rest = uri.partition("://")
        if rest and (("+" in scheme and not scheme.endswith("+unix")) or not rest.startswith("/")):
            raise ValueError(
                "a host's libvirt is asked by an actor on the host itself, where its images and "
                "guests are; for another machine: reach: ray, and a URI as seen there"
            )
        return uri

    @field_validator("ports")
    @classmethod
    def _ports_in_order(cls, ports: list[int]) -> list[int]:
        if not 1024 <= ports[0] <= ports[1] <= 65535:
            raise ValueError("not a range of ports from 1024 to 65535")
        return ports


class TestbedSettings(Settings):
    """The testbed: the kind of thing that evaluates a trial, and how."""

    kind: Literal["libvirt", "virtual-time", "simulation"] = setting(
        "libvirt",
        help="libvirt: real virtual machines; virtual-time: the real scheduler with all nodes in "
        "one virtual machine, whose clock counts instructions and skips idleness; simulation: "
        "discrete events, without VMs, root or Ray",
    )
    ray_address: str | None = setting(
        None,
        help="an existing Ray cluster (default: a local Ray for this campaign, and none for a "
        "simulation)",
    )
    group: str | None = setting(None, help="use only the hosts of this group (hosts.*.group)")
    parallel: int = setting(
        1,
        help="trials that may run at once, capacity allowing; if not given, in virtual time and in "
        "simulation all of a batch, there with all replicates, as far as there are cores",
        ge=1,
        le=1024,
    )
    heartbeat_timeout_s: float = setting(
        60,
        help="an actor that hasn't answered for so long is given up, and with a host's actor all "
        "that runs there; a remote host that hasn't heard from the driver for three times as long "
        "ends what runs there itself",
        unit="s",
        ge=5,
    )
    host_failures: int = setting(
        3,
        help="trials that fail on a host in a row before it gets no more; the last host is kept",
        ge=1,
    )
    wait_for_quiet_s: float = setting(
        0,
        help="how long a trial waits at most while other programs keep every host busy; 0: it "
        "starts at once, and is tried again later if a busy host has spoiled it",
        unit="s",
        ge=0,
        le=604_800,
    )
    prefetch: Literal["none", "collecting", "running"] = setting(
        "collecting",
        help="when the next trial's cluster is restored: after this trial, as soon as its last "
        "job is done, or while its jobs run, which disturbs what is measured; its nodes stand "
        "still until this trial's results are collected",
    )
    real_deadline_s: float = setting(
        86_400,
        help="virtual-time: how long a trial may take in real time from its placing to its end",
        unit="s",
        ge=60,
        le=31_622_400,
    )
    stuck_s: float = setting(
        1800,
        help="virtual-time: a guest has hung if its clock hasn't moved while it used so much CPU "
        "time, or in four times as much real time; in any case after five minutes without any "
        "CPU time",
        unit="s",
        ge=1,
        le=604_800,
    )
    policy: Literal["scheduler", "fcfs", "easy", "conservative"] = setting(
        "scheduler",
        help="simulation: decide as the scheduler with its parameters would, at its intervals; "
        "or by an ideal policy, which decides at once whenever something happens",
    )
    submit_s: float = setting(
        0.0, help="simulation: time that submitting a job takes", unit="s", ge=0, le=86_400
    )
    launch_s: float = setting(
        0.0, help="simulation: time from a decision to the job's start", unit="s", ge=0, le=86_400
    )
    overrun_s: float = setting(
        0.0, help="simulation: time that a job takes beyond its run time", unit="s", ge=0, le=86_400
    )
    release_s: float = setting(
        0.0,
        help="simulation: time from a job's end to its slots being free",
        unit="s",
        ge=0,
        le=86_400,
    )
    cycle_offset_s: float = setting(
        0.0,
        help="simulation: when the first cycle of a scheduler that works in cycles is, by its own "
        "clock (testbed.clock_s)",
        unit="s",
        ge=0,
        le=86_400,
    )

    lead_s: float = setting(
        0.0,
        help="simulation: time for which a scheduler that works in cycles has been running when "
        "the workload begins",
        unit="s",
        ge=0,
        le=86_400,
    )
    clock_s: float = setting(
        0.0,
        help="simulation: what the clock of a scheduler that works in cycles shows when the "
        "workload begins, since midnight",
        unit="s",
        ge=0,
        le=86_400,
    )

    kernel_s: float = setting(
        0.0,
        help="simulation: time between ticks of the kernel, by which a scheduler that works in "
        "cycles oversleeps, and its clock lags",
        unit="s",
        ge=0,
        le=1,
    )
    plan_s: float = setting(
        0.0,
        help="simulation: time that a backfill run takes for each job that it looks at",
        unit="s",
        ge=0,
        le=86_400,
    )

    @property
    def deterministic(self) -> bool:
        """True if each evaluation of a point gives the same, so that one is enough."""
        return self.kind in ("simulation", "virtual-time")

    @property
    def on_machines(self) -> bool:
        """True if trials run in virtual machines, in real time or in virtual time."""
        return self.kind != "simulation"
