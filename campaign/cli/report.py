"""`hpc-campaign report`: write a campaign's report again, or show two trials side by side.

It takes the ledger and the data set alone; MLflow's runs are brought up to date as well.
"""

import argparse
import re
from pathlib import Path

from campaign.cli.arguments import add_results
from campaign.core.errors import ConfigError, UsageError
from campaign.core.files import user_path

_ARM = re.compile(r"(?:(?P<name>[^:]+):)?(?P<trial>\d+)")
_ARM_USAGE = (
    "Write NAME:TRIAL, such as demo:3; NAME: may be left out once, where both are of one campaign."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "name",
        nargs="*",
        help="name of the campaign; or `compare NAME:TRIAL NAME:TRIAL`: two "
        "trials of the same jobs",
    )
    add_results(parser)
    parser.add_argument(
        "--top",
        type=_count,
        default=10,
        help="compare: how many jobs to show of those that changed most (default: 10)",
    )
    parser.add_argument(
        "--json",
        type=user_path,
        metavar="FILE",
        help="compare: write it as JSON too, with every job",
    )
    parser.add_argument(
        "--html",
        type=user_path,
        metavar="FILE",
        help="compare: write it as a page too, with Gantt charts",
    )


def run(options: argparse.Namespace) -> int:
    """Write and print."""
    match options.name:
        case [name]:
            if options.json or options.html:
                raise UsageError(
                    f"report {name}: --json and --html are for comparisons",
                    resolution="Leave them out, or use `report compare NAME:TRIAL NAME:TRIAL "
                    "--json FILE`.",
                )
            from campaign.execution.report_again import report_again

            return report_again(options.results, name)
        case ["compare", one, other]:
            from campaign.cli.comparison import print_comparison

            print_comparison(options, _arms_of((one, other)))
            return 0
        case []:
            raise ConfigError(
                "report: which campaign?",
                _known(options.results),
                "Name one: `hpc-campaign report NAME`. `hpc-campaign list` says more of them.",
            )
    raise UsageError(
        f"report {' '.join(options.name)}: neither a campaign nor a comparison",
        resolution="Use `report NAME`, or `report compare NAME:TRIAL NAME:TRIAL`.",
    )


def _known(root: Path) -> str:
    from campaign.records.campaigns import names_in

    names = names_in(root)
    return f"in {root}: {', '.join(names)}" if names else f"{root} holds no campaigns"


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of jobs, got {text!r}")
    return int(text)


def _arms_of(texts: tuple[str, str]) -> list[tuple[str, int]]:
    """Return campaign and trial that each text names; a number alone is of the other's campaign."""
    matches = [_ARM.fullmatch(text) for text in texts]
    known = [match for match in matches if match]
    for text, match in zip(texts, matches, strict=True):
        if match is None:
            raise UsageError(f"{text!r} names no trial", resolution=_ARM_USAGE)
    names = [match["name"] for match in known if match["name"]]
    if not names:
        raise UsageError(
            f"{' and '.join(texts)} name trials, but no campaign", resolution=_ARM_USAGE
        )
    return [(match["name"] or names[0], int(match["trial"])) for match in known]
