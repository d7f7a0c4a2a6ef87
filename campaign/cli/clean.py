"""`hpc-campaign clean`: remove VMs, run folders and half-made golden clusters of dead campaigns."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from campaign.cli.output import say
from campaign.config.compose import compose
from campaign.schema.hosts import HostSettings

if TYPE_CHECKING:
    from actors.hypervisor.reaper import Reaped

SWEEP_S = 120.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "overrides",
        nargs="*",
        help="settings of the hosts, as for a search: hosts=..., hosts.local.uri=...",
    )
    parser.add_argument(
        "--all", action="store_true", help="also what live campaigns of this user have running"
    )


def run(options: argparse.Namespace) -> int:
    """Sweep every host and print what was removed.

    Returns 1 if something could not be removed, or a host can't be reached.
    """
    from actors.hosts import ray_folder

    campaign = compose(options.overrides).campaign
    status = 0
    for name, settings in campaign.local_hosts.items():
        status |= _tell(name, *swept(settings, everything=options.all))
    if campaign.far_hosts:
        status |= _clean_far(
            campaign.far_hosts, campaign.testbed.ray_address, everything=options.all
        )
    for folder in ray_folder.sweep():
        say(f"removed {folder}, left by a Ray whose driver is dead")
    return status


def swept(settings: HostSettings, *, everything: bool) -> tuple["Reaped", int]:
    """Sweep this machine as the host of these settings.

    Returns what was removed, and how many half-made golden clusters were.
    """
    from actors.hosts.state_dir import golden_store, sweep

    return sweep(settings, everything=everything), golden_store(settings).sweep()


def _clean_far(hosts: Mapping[str, HostSettings], address: str | None, *, everything: bool) -> int:
    """Do the same on hosts that are Ray nodes."""
    from actors.hosts import ray_session

    ray_session.prepare(address)
    from actors.hosts.ray_nodes import LABEL, ray_nodes, run_on

    ray_session.start(address)
    try:
        status = 0
        there = ray_nodes()
        for name, settings in hosts.items():
            if name not in there:
                say(
                    f"{name}: no living Ray node has the label {LABEL}={name}; clean it there, "
                    "as a local host"
                )
                status = 1
                continue
            status |= _tell(
                name, *run_on(name, swept, settings, everything=everything, timeout_s=SWEEP_S)
            )
        return status
    finally:
        ray_session.stop()


def _tell(name: str, reaped: "Reaped", drafts: int) -> int:
    say(f"{name}: {reaped}")
    if drafts:
        say(f"{name}: removed {drafts} half-made golden cluster{'s' if drafts > 1 else ''}")
    return bool(reaped.failures)
