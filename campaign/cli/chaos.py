"""`hpc-campaign chaos`: inject seeded faults into campaigns and check every invariant."""

import argparse

from campaign.cli.arguments import whole_number
from campaign.cli.output import say
from campaign.core.files import user_path
from campaign.schema.image import ImageSettings

BROKEN = 1
"""The exit status if an invariant was broken."""
RUNS = 100
STORE = ImageSettings.model_fields["store"].default


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--runs",
        type=whole_number("--runs"),
        metavar="N",
        help=f"campaigns on simulated hosts (default: {RUNS}; none beside --vms)",
    )
    parser.add_argument(
        "--vms",
        type=whole_number("--vms"),
        metavar="N",
        help="campaigns on virtual machines (default: none)",
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
        help=f"--vms: the image store (default: {STORE})",
    )
    parser.add_argument("--out", type=user_path, metavar="FILE", help="write the report there, too")


def run(options: argparse.Namespace) -> int:
    """Run so many campaigns; return exit status 1 if an invariant was broken."""
    runs = options.runs or (0 if options.vms else RUNS)
    report = ""
    broken = False
    for count, chaos in ((runs, _simulated), (options.vms or 0, _on_vms)):
        if count:
            text, failed = chaos(options, count)
            say(text.removesuffix("\n"))
            report += text
            broken = broken or failed
    if options.out:
        options.out.write_text(report, encoding="utf-8")
    return BROKEN if broken else 0


def _simulated(options: argparse.Namespace, count: int) -> tuple[str, bool]:
    """Return the report of campaigns on simulated hosts, and whether an invariant was broken."""
    from campaign.chaos import simulated
    from campaign.chaos.runs import as_text

    runs = list(simulated.run_seeds(range(options.seed, options.seed + count)))
    return as_text(runs, simulated.CAMPAIGNS), any(one.broken for one in runs)


def _on_vms(options: argparse.Namespace, count: int) -> tuple[str, bool]:
    """Return the report of campaigns on VMs, and whether an invariant was broken."""
    from campaign.chaos import clusters
    from campaign.chaos.runs import as_text

    seeds = range(options.seed, options.seed + count)
    runs, noise = clusters.run_seeds(seeds, options.store)
    report = as_text(runs, clusters.CAMPAIGNS)
    report += f"response times with faults differ from those without by {noise:.1%} in the median\n"
    return report, any(one.broken for one in runs)
