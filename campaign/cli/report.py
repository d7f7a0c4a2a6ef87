"""`python -m campaign report`: writes report and MLflow runs again, from ledger and data set alone."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from campaign.compose import compose_recorded
from campaign.following import bring_up_to_date, tracker_for
from campaign.ledger import history_of
from campaign.preflight import workload_for
from campaign.results import Results
from campaign.summary import conclude
from campaign.trials import TrialRecord


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", nargs="?", default="demo", help="name of the campaign (default: demo)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of results (default: results)")


def run(options: argparse.Namespace) -> int:
    """Write and print."""
    results = Results(options.results, options.name)
    history = history_of(results.ledger_path)
    composed = compose_recorded(history.head["config"] if history.head else {})
    tracker, wanted = tracker_for(composed, results, history), composed.campaign.search.trials

    def log(front: Sequence[TrialRecord]) -> None:
        bring_up_to_date(tracker, results, history.final(), front, wanted)

    conclude(composed, results, history, workload=workload_for(composed), log=log, say=print)
    return 0
