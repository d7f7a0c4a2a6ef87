"""`hpc-campaign list`: the campaigns in the results folder, their states and best values."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from campaign.cli.arguments import add_results
from campaign.cli.output import add_json, fitted_table, print_json, say, terminal_columns

if TYPE_CHECKING:
    from campaign.records.campaigns import CampaignSummary

HEADS = ("name", "state", "trials", "testbed", "schedulers", "changed", "best values")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_results(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print a line per campaign, the most recently changed first."""
    from campaign.execution.ending import recorded_trials
    from campaign.records.campaigns import summaries

    found = list(summaries(options.results, recorded_trials))
    if options.json:
        print_json([asdict(one) for one in found])
    elif found:
        say(fitted_table(HEADS, [_row(one) for one in found], terminal_columns()))
    else:
        say(f"{options.results}/ holds no campaigns; `hpc-campaign search` begins one")
    return 0


def _row(one: "CampaignSummary") -> tuple[str, ...]:
    from campaign.report.facts import number

    values = ", ".join(f"{name} {number(best.value)}" for name, best in one.best.items())
    changed = one.changed.astimezone().strftime("%Y-%m-%d %H:%M") if one.changed else ""
    schedulers = ", ".join(one.schedulers)
    trials = f"{one.done}/{one.trials}" if one.trials else ""
    return (one.name, one.state, trials, one.testbed, schedulers, changed, one.problem or values)
