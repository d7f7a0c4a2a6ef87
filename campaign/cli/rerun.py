"""`hpc-campaign rerun`: the trials of a campaign, or of a published one, run again and compared."""

import argparse
from typing import TYPE_CHECKING

from campaign.cli.arguments import add_results
from campaign.cli.output import add_json, print_json, say
from campaign.core.errors import UsageError
from campaign.core.exits import DIFFERENT
from campaign.core.files import user_path

if TYPE_CHECKING:
    from campaign.execution.rerun import Compared

SHOWN = 5
"""So many metrics of a replicate are named that differ."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", help="name of the campaign, or folder of a published one")
    add_results(parser)
    parser.add_argument(
        "--trials", default="", metavar="N,N", help="these trials alone (default: all)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what differs, replicate by replicate; return 5 if anything does, else 0."""
    from campaign.execution.rerun import rerun
    from campaign.execution.verify_publication import is_publication
    from campaign.records.results import Results

    folder = user_path(options.name).resolve()
    published = is_publication(folder)
    results = (
        Results(folder.parent, folder.name) if published else Results(options.results, options.name)
    )
    found = []
    for one in rerun(results, _numbers(options.trials)):
        found.append(one)
        if not options.json:
            say(_line(one), flush=True)
    different = sum(not one.same for one in found)
    if options.json:
        print_json({"replicates": [_plain(one) for one in found], "different": different})
    else:
        ran = "1 replicate has run" if len(found) == 1 else f"{len(found)} replicates have run"
        say(f"{ran} again: {f'{different} differ' if different else 'nothing differs'}")
    return DIFFERENT if different else 0


def _numbers(text: str) -> list[int]:
    parts = text.split(",") if text else []
    if wrong := [one for one in parts if not one.isdecimal()]:
        raise UsageError(
            f"--trials {text}: {wrong[0]!r} is no trial", resolution="Use --trials 0,3,7."
        )
    return [int(one) for one in parts]


def _line(one: "Compared") -> str:
    trial, instance = one.replicate
    what = f"trial {trial}" + (f", instance {instance}" if instance else "")
    if one.same:
        return f"{what}: the same ({one.now})"
    parts = []
    if one.before != one.now:
        parts.append(f"was {one.before}, is {one.now}" + (f" ({one.reason})" if one.reason else ""))
    if one.jobs_differ:
        parts.append(f"{one.jobs_differ} jobs start or end otherwise")
    parts += [str(metric) for metric in one.metrics[:SHOWN]]
    if more := len(one.metrics) - SHOWN:
        parts += [f"{more} further metrics differ"] if more > 0 else []
    return f"{what}: {'; '.join(parts)}"


def _plain(one: "Compared") -> dict[str, object]:
    return {
        "trial": one.replicate.trial,
        "instance": one.replicate.instance,
        "before": one.before,
        "now": one.now,
        "reason": one.reason,
        "jobs_differ": one.jobs_differ,
        "metrics": {each.metric: [each.before, each.now] for each in one.metrics},
    }
