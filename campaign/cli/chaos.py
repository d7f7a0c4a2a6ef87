"""`hpc-campaign chaos`: inject faults into campaigns and check every invariant."""

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from campaign.cli.arguments import whole_number
from campaign.cli.output import say
from campaign.core.files import user_path
from campaign.schema.image import ImageSettings

if TYPE_CHECKING:
    from campaign.chaos.environment import DisturbedKind
    from campaign.chaos.runs import ChaosRun

BROKEN = 1
"""The exit status if an invariant was broken."""
RUNS = 100
ALL = sys.maxsize
"""More crash points than there are."""
Chaos = Callable[[argparse.Namespace, int], tuple[str, bool]]
_COUNTS = {
    "--runs": f"campaigns on simulated hosts (default: {RUNS}; none beside another kind)",
    "--vms": "campaigns on virtual machines (default: none)",
    "--virtual": "campaigns on virtual machines in virtual time (default: none)",
    "--power-cuts": "power cuts of a disk that campaigns write to; takes root (default: none)",
    "--signals": "campaigns whose drivers are killed, stopped and told to end (default: none)",
}
"""The kinds of which so many campaigns are run."""
STORE = ImageSettings.model_fields["store"].default


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    for option, what in _COUNTS.items():
        parser.add_argument(option, type=whole_number(option), metavar="N", help=what)
    parser.add_argument(
        "--crash-points",
        type=_points,
        metavar="N|all",
        help="so many of the steps before which a campaign's driver is killed, or all of them "
        "(default: none)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number("--seed"),
        default=1,
        metavar="N",
        help="seed of the first campaign; each later one has the next (default: 1)",
    )
    parser.add_argument(
        "--store",
        type=user_path,
        default=STORE,
        metavar="FOLDER",
        help=f"--vms, --virtual: the image store (default: {STORE})",
    )
    parser.add_argument("--out", type=user_path, metavar="FILE", help="write the report there, too")


def run(options: argparse.Namespace) -> int:
    """Run so many campaigns; return exit status 1 if an invariant was broken."""
    commanded = (options.power_cuts, options.crash_points, options.signals)
    others = (options.vms, options.virtual, *commanded)
    runs = options.runs or (0 if any(others) else RUNS)
    report = ""
    broken = False
    kinds: list[tuple[int, Chaos]] = [
        (runs, _simulated),
        (options.vms or 0, _on_vms),
        (options.virtual or 0, _in_virtual_time),
    ]
    if any(commanded):
        # One kind for all three: it takes long to import and compile what their drivers need.
        kinds.append((1, _commanded))
    for count, chaos in kinds:
        if count:
            text, failed = chaos(options, count)
            say(text.removesuffix("\n"))
            report += text
            broken = broken or failed
    if options.out:
        options.out.write_text(report, encoding="utf-8")
    return BROKEN if broken else 0


def _points(text: str) -> int:
    """Return a number of crash points; ALL for all of them."""
    return ALL if text == "all" else whole_number("--crash-points")(text)


def _simulated(options: argparse.Namespace, count: int) -> tuple[str, bool]:
    """Return the report of campaigns on simulated hosts, and whether an invariant was broken."""
    from campaign.chaos import simulated
    from campaign.chaos.runs import as_text

    runs = list(simulated.run_seeds(range(options.seed, options.seed + count)))
    return as_text(runs, simulated.CAMPAIGNS), any(one.broken for one in runs)


def _on_vms(options: argparse.Namespace, count: int) -> tuple[str, bool]:
    """Return the report of campaigns on VMs, and whether an invariant was broken."""
    from campaign.chaos.environment import REAL_TIME

    return _disturbed(options, count, REAL_TIME)


def _in_virtual_time(options: argparse.Namespace, count: int) -> tuple[str, bool]:
    """Return the report of campaigns in virtual time, and whether an invariant was broken."""
    from campaign.chaos.environment import VIRTUAL_TIME

    return _disturbed(options, count, VIRTUAL_TIME)


def _disturbed(options: argparse.Namespace, count: int, kind: "DisturbedKind") -> tuple[str, bool]:
    from campaign.chaos import clusters
    from campaign.chaos.runs import as_text

    seeds = range(options.seed, options.seed + count)
    runs, noise = clusters.run_seeds(seeds, options.store, kind)
    report = as_text(runs, clusters.described(kind))
    report += f"response times with faults differ from those without by {noise:.3%} in the median\n"
    return report, any(one.broken for one in runs)


def _commanded(options: argparse.Namespace, _count: int) -> tuple[str, bool]:
    """Return the report of campaigns by the command line, and if an invariant was broken."""
    from campaign.chaos import crash_points, power, signals
    from campaign.chaos.commanded import commanded_campaigns
    from campaign.chaos.power_disk import check_possible
    from campaign.chaos.runs import as_text

    report = ""
    broken = False

    def add(runs: "Iterator[ChaosRun]", campaigns: str) -> None:
        nonlocal report, broken
        done = list(runs)
        report += as_text(done, campaigns)
        broken = broken or any(one.broken for one in done)

    if options.power_cuts:
        check_possible()  # before anything that takes long
    with commanded_campaigns() as campaigns:
        if options.power_cuts:
            cuts = power.run_power_cuts(options.power_cuts, options.seed, campaigns)
            add(cuts, power.CAMPAIGNS)
        if options.crash_points:
            add(crash_points.run_crash_points(options.crash_points), crash_points.CAMPAIGNS)
        if options.signals:
            rounds = signals.run_signals(options.signals, options.seed, campaigns)
            add(rounds, signals.CAMPAIGNS)
    return report, broken
