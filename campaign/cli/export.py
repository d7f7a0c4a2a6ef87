"""`hpc-campaign export ansible`: one point's bootstrap plan as a folder for Ansible."""

import argparse
from pathlib import Path

from campaign.cli.output import say
from campaign.core.errors import ConfigError
from campaign.core.files import user_path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("tool", choices=["ansible"], help="what the plan is written for")
    parser.add_argument(
        "overrides", nargs="*", metavar="SETTING", help="settings as for a search: cluster.nodes=3"
    )
    parser.add_argument(
        "--out", type=user_path, metavar="FOLDER", help="where to write (default: NAME-ansible)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the folder, and say what is in it."""
    from actors.bootstrap.ansible import write
    from campaign.config.compose import compose
    from campaign.testbeds.ansible_export import files, searched_lines

    composed = compose(options.overrides)
    place = options.out or Path(f"{composed.campaign.name}-ansible")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(
            f"{place} exists", resolution="Choose another --out FOLDER, or remove it."
        )
    write(place, files(composed))
    say("\n".join(searched_lines(composed)))
    say(f"{place} holds the playbook; {place}/README.md says what to fill in")
    return 0
