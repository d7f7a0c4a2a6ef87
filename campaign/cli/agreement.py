"""`hpc-campaign agreement`: how far the simulation is from the trials that a campaign measured."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from campaign.cli.arguments import add_results
from campaign.cli.output import add_json, print_json, say
from campaign.core.errors import UsageError

if TYPE_CHECKING:
    from campaign.simulation.engine import Delays


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", help="name of a campaign in virtual time or on virtual machines")
    parser.add_argument(
        "delays",
        nargs="*",
        metavar="testbed.DELAY=SECONDS",
        help="delays of the simulation, as `hpc-campaign bench agreement` prints them (default: "
        "those of the campaign's configuration)",
    )
    parser.add_argument(
        "--fit",
        metavar="OTHER",
        help="fit the delays to this campaign's trials on the same cluster; with NAME itself, to "
        "every second of its trials, which leaves the others to compare with",
    )
    add_results(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Simulate each valid trial's point, and print how far the two are apart."""
    from campaign.bench.measured_campaign import as_json, as_text, fitted, measured_campaign
    from campaign.records.results import Results

    delays = _delays_of(options.delays) if options.delays else None
    measured = measured_campaign(Results(options.results, options.name), delays)
    if options.fit is not None:
        measured = fitted(measured, measured_campaign(Results(options.results, options.fit)))
    if options.json:
        print_json(as_json(measured))
    else:
        say(as_text(measured))
    return 0


def _delays_of(words: Sequence[str]) -> "Delays":
    from campaign.simulation.engine import Delays

    known = [field.name for field in fields(Delays)]
    found = {}
    for word in words:
        path, _, value = word.partition("=")
        name = path.removeprefix("testbed.")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = -1.0
        if name not in known or not 0 <= found[name] < float("inf"):
            raise UsageError(
                f"{word!r} is no delay of the simulation",
                resolution=f"Write testbed.DELAY=SECONDS, where DELAY is {', '.join(known)}.",
            )
    return Delays(**found)
