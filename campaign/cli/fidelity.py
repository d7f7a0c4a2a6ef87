"""`hpc-campaign fidelity`: waits of a replayed log, beside what the log recorded of them."""

import argparse
import re
from dataclasses import asdict

from campaign.cli.arguments import add_results
from campaign.cli.output import add_json, print_json, say
from campaign.core.errors import UsageError

_TRIAL = re.compile(r"(?P<name>[^:]+)(?::(?P<trial>\d+))?")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "trial",
        metavar="NAME[:TRIAL]",
        help="a trial of a campaign that replayed a log; without a number, the baseline",
    )
    add_results(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print verdict, waits and use, recorded beside replayed."""
    from campaign.execution.fidelity import fidelity_of
    from campaign.execution.report_again import begun
    from campaign.records.results import Results
    from campaign.report.fidelity import fidelity_sections
    from campaign.report.sections import lines

    match = _TRIAL.fullmatch(options.trial)
    if match is None:
        raise UsageError(
            f"{options.trial!r} names no trial",
            resolution="Write NAME:TRIAL, such as demo:3, or NAME for the baseline.",
        )
    number = match["trial"]
    results = Results(options.results, match["name"])
    record, under, found = fidelity_of(results, *begun(results), int(number) if number else None)
    name = f"{results.name}:{record.number}"
    if options.json:
        print_json({"trial": name, "replayed_under": under, **asdict(found)})
    else:
        heading = f"{name}, replayed under {under}, beside what its log recorded"
        say("\n".join(lines(heading, fidelity_sections(found))))
    return 0
