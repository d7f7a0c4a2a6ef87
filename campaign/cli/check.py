"""`hpc-campaign check`: whether a trial is worse than a reference, as an exit status for CI."""

import argparse
import math
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from campaign.cli.arguments import add_results
from campaign.cli.output import add_json, print_json, say
from campaign.core.errors import UsageError
from campaign.core.exits import WORSE
from campaign.core.files import user_path

if TYPE_CHECKING:
    from campaign.analysis.regression import GatedChange

_TRIAL = re.compile(r"(?P<name>[^:]+)(?::(?P<trial>\d+))?")
_RESAMPLED = {
    "workloads": "90 % interval by {count} workloads that both replayed",
    "jobs": "90 % interval by {count} jobs of one workload, which are no independent draws",
    "nothing": "no interval: any change counts",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "trial",
        metavar="NAME[:TRIAL]",
        help="what is checked: a trial; without a number, the campaign's baseline",
    )
    parser.add_argument(
        "--against",
        required=True,
        metavar="REF[:TRIAL]",
        help="what it must not be worse than: a trial that replayed the same jobs",
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        dest="metrics",
        metavar="METRIC",
        help="a metric to check, which may be given several times (default: the objectives)",
    )
    parser.add_argument(
        "--tolerance",
        type=_percent,
        default=0.0,
        metavar="PERCENT",
        help="how much worse a metric may be (default: 0)",
    )
    parser.add_argument(
        "--against-results",
        type=user_path,
        metavar="FOLDER",
        help="folder of results of the reference (default: that of --results)",
    )
    add_results(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print how each metric changed; the status says whether one is worse beyond its interval."""
    from campaign.execution.gate import compared, gated
    from campaign.records.results import Results

    name, trial = _named(options.trial)
    reference, number = _named(options.against)
    now = gated(Results(options.results, name), trial)
    before = gated(Results(options.against_results or options.results, reference), number)
    found = compared(now, before, options.metrics)
    worse = [one.metric for one in found if one.is_worse(options.tolerance)]
    if options.json:
        changes = [_plain(one, options.tolerance) for one in found]
        print_json({"trial": now.name, "against": before.name, "changes": changes})
    else:
        say("\n".join(_line(one, options.tolerance) for one in found))
        verdict = f"worse: {', '.join(worse)}" if worse else "nothing is worse"
        allowed = f", by more than {options.tolerance:g} %" if options.tolerance else ""
        say(f"{now.name} beside {before.name}: {verdict}{allowed}")
    return WORSE if worse else 0


def _line(one: "GatedChange", tolerance: float) -> str:
    percent = "" if math.isnan(one.percent) else f", {one.percent:+.1f} %"
    interval = "" if math.isnan(one.low) else f" ({one.low:+.1f} to {one.high:+.1f} %)"
    how = _RESAMPLED[one.resampled].format(count=one.count)
    mark = "WORSE" if one.is_worse(tolerance) else "ok"
    return f"{mark:5} {one.metric} {one.before:.4g} -> {one.now:.4g}{percent}{interval}; {how}"


def _plain(one: "GatedChange", tolerance: float) -> dict[str, object]:
    values = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(one).items()
    }
    return {**values, "worse": one.is_worse(tolerance)}


def _named(text: str) -> tuple[str, int | None]:
    match = _TRIAL.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} names no trial",
            resolution="Write NAME:TRIAL, such as demo:3, or NAME for the baseline.",
        )
    return match["name"], int(match["trial"]) if match["trial"] else None


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage of 0 or more")
    return value
