"""`python -m campaign report`: writes report and MLflow runs again, from ledger and data set alone; `report compare`
shows two trials side by side."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from campaign.compose import Composed, compose_recorded
from campaign.errors import LedgerError
from campaign.following import bring_up_to_date, tracker_for
from campaign.ledger import History, history_of
from campaign.preflight import workload_for
from campaign.results import Results
from campaign.summary import conclude
from campaign.trials import TrialRecord

COMPARE = "compare"
_ARM = re.compile(r"(?P<name>[^:]+):(?P<trial>\d+)")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "name",
        nargs="*",
        default=["demo"],
        help="name of the campaign (default: demo); or `compare NAME:TRIAL NAME:TRIAL`: two trials of the same jobs",
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of results (default: results)")
    parser.add_argument("--top", type=int, default=10, help="compare: how many jobs to show of those that changed most")


def run(options: argparse.Namespace) -> int:
    """Write and print."""
    match options.name:
        case [name]:
            return _again(options.results, name)
        case ["compare", one, other]:
            return _compare(options.results, one, other, options.top)
    raise LedgerError(
        f"report {' '.join(options.name)}: neither a campaign nor a comparison",
        resolution="Say `report NAME`, or `report compare NAME:TRIAL NAME:TRIAL`.",
    )


def _again(folder: Path, name: str) -> int:
    results = Results(folder, name)
    composed, history = _begun(results)
    tracker, wanted = tracker_for(composed, results, history), composed.campaign.search.trials

    def log(front: Sequence[TrialRecord]) -> None:
        bring_up_to_date(tracker, results, history.final(), front, wanted)

    conclude(composed, results, history, workload=workload_for(composed), log=log, say=print)
    return 0


def _begun(results: Results) -> tuple[Composed, History]:
    history = history_of(results.ledger_path)
    return compose_recorded(history.head["config"] if history.head else {}), history


def _compare(folder: Path, one: str, other: str, top: int) -> int:
    from campaign.compare import Arm, compare
    from campaign.fairness import manifest
    from campaign.report.comparison import lines

    arms, slots, schedulers, records = [], [], {}, []
    for text in (one, other):
        name, number = _arm_of(text)
        results = Results(folder, name)
        composed, history = _begun(results)
        record = next((record for record in history.final() if record.number == number), None)
        jobs = results.trial_jobs(number)
        if record is None or jobs is None:
            what = "has no such trial" if record is None else f"has no jobs of it: {record.reason or record.outcome}"
            raise LedgerError(f"{text}: the campaign {name} {what}", resolution=f"See {results.report_path}.")
        arms.append(Arm(text, record, jobs))
        slots.append(composed.space.nodes(record.point) * composed.campaign.cluster.slots_per_node)
        scheduler = composed.space.scheduler(record.point)
        schedulers[scheduler] = composed.schedulers[scheduler]
        records += history.final()
    found = compare(arms[0], arms[1], (slots[0], slots[1]))
    fairness = manifest(schedulers, records) if len(schedulers) > 1 else []
    print("\n".join(lines(found, fairness, top)))
    return 0


def _arm_of(text: str) -> tuple[str, int]:
    match = _ARM.fullmatch(text)
    if match is None:
        raise LedgerError(f"{text!r} names no trial", resolution="Write NAME:TRIAL, such as demo:3.")
    return match["name"], int(match["trial"])
