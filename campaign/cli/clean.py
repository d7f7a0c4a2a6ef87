"""`python -m campaign clean`: removes VMs, run folders and half-made golden clusters that dead campaigns left."""

import argparse

from campaign.compose import compose


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "overrides", nargs="*", help="settings of the hosts, as for a search: hosts=..., hosts.local.uri=..."
    )
    parser.add_argument("--all", action="store_true", help="also what live campaigns of this user have running")


def run(options: argparse.Namespace) -> int:
    """Sweep every host and say what was removed; status 1 if something could not be."""
    from actors import ray_session
    from actors.host import golden_store, sweep

    status = 0
    for name, settings in compose(options.overrides).campaign.hosts.items():
        reaped = sweep(settings, everything=options.all)
        print(f"{name}: {reaped}")
        if drafts := golden_store(settings).sweep():
            print(f"{name}: removed {drafts} half-made golden cluster{'s' if drafts > 1 else ''}")
        status |= bool(reaped.failures)
    for folder in ray_session.sweep():
        print(f"removed {folder}, left by a Ray whose driver is dead")
    return status
