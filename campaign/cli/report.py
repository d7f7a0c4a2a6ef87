"""`hpc-campaign report`: write a campaign's report again, or show two trials side by side.

It takes the ledger and the data set alone; MLflow's runs are brought up to date as well.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.config.compose import Composed, compose_recorded
from campaign.core.errors import ConfigError, LedgerError, UsageError
from campaign.core.trials import TrialRecord
from campaign.execution.summary import conclude, facts_of, result_of
from campaign.records.campaigns import names_in
from campaign.records.ledger import History, history_of
from campaign.records.results import Results
from campaign.testbeds.preflight import workload_for
from campaign.tracking.worker import bring_up_to_date, parameters_of, tracker_for

if TYPE_CHECKING:
    from campaign.analysis.arm import Arm
    from campaign.schema.model import Direction

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
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="folder of results (default: results)"
    )
    parser.add_argument(
        "--top",
        type=_count,
        default=10,
        help="compare: how many jobs to show of those that changed most (default: 10)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="compare: write it as JSON too, with every job"
    )
    parser.add_argument(
        "--html",
        type=Path,
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
            return _again(options.results, name)
        case ["compare", one, other]:
            return _compare(options, (one, other))
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
    names = names_in(root)
    return f"in {root}: {', '.join(names)}" if names else f"{root} holds no campaigns"


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of jobs")
    return int(text)


def _again(folder: Path, name: str) -> int:
    results = Results(folder, name)
    composed, history = _begun(results)
    campaign = composed.campaign
    workload = workload_for(campaign, composed.schedulers, composed.space)
    facts = facts_of(campaign, composed.space.fixed, workload)
    parameters = parameters_of(composed.schedulers, composed.space)
    tracker = tracker_for(campaign, facts.config, parameters, results, history)
    wanted = campaign.search.trials

    def track(front: Sequence[TrialRecord]) -> None:
        bring_up_to_date(tracker, results, history.final(), front, wanted)

    result = result_of(facts, composed.schedulers, history, results.ledger_path)
    conclude(result, results, Path(campaign.output.mlruns), track=track)
    return 0


def _begun(results: Results) -> tuple[Composed, History]:
    history = history_of(results.ledger_path)
    return compose_recorded(history.head["config"] if history.head else {}), history


def _compare(options: argparse.Namespace, texts: tuple[str, str]) -> int:
    from campaign.analysis.compare import compare
    from campaign.analysis.fairness import manifest
    from campaign.report.comparison.text import lines, sections, title

    arms = []
    schedulers = {}
    records = []
    objectives: dict[str, Direction] = {}
    for name, number in _arms_of(texts):
        results = Results(options.results, name)
        composed, history = _begun(results)
        arm = _arm(results, number, composed, history)
        arms.append(arm)
        scheduler = composed.space.scheduler(arm.record.point)
        schedulers[scheduler] = composed.schedulers[scheduler]
        records += history.final()
        objectives |= composed.campaign.objectives
    found = compare(arms[0], arms[1], objectives)
    fairness = manifest(schedulers, records) if len(schedulers) > 1 else []
    written = list(sections(found, fairness, options.top))
    if options.json:
        from campaign.report.comparison.as_json import plain

        _write(
            options.json,
            json.dumps(plain(found, fairness), ensure_ascii=False, allow_nan=False) + "\n",
        )
    if options.html:
        from campaign.report.comparison.page import page

        _write(options.html, page(found, written))
    print("\n".join(lines(title(found), written)))
    return 0


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


def _arm(results: Results, number: int, composed: Composed, history: History) -> "Arm":
    """Return a trial of a campaign as it is compared.

    Raises LedgerError where there is no such trial, or none of its jobs.
    """
    from campaign.analysis.arm import Arm

    name = f"{results.name}:{number}"
    record = next((record for record in history.final() if record.number == number), None)
    jobs = results.trial_jobs(number)
    if record is None or jobs is None:
        what = (
            "has no such trial"
            if record is None
            else f"has no jobs of it: {record.reason or record.outcome}"
        )
        raise LedgerError(
            f"{name}: the campaign {results.name} {what}", resolution=f"See {results.report_path}."
        )
    space = composed.space
    slots_per_node = composed.campaign.cluster.slots_per_node
    fixed = {path: value for path, value in space.fixed.items() if space.exists(path, record.point)}
    return Arm(
        name,
        record,
        jobs,
        nodes=space.nodes(record.point),
        slots_per_node=slots_per_node,
        fixed={**fixed, "cluster.slots_per_node": slots_per_node},
        resolution_s=composed.schedulers[space.scheduler(record.point)].resolution_s,
    )


def _write(place: Path, text: str) -> None:
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{place}: {error.strerror}", resolution="Name a file that can be written."
        ) from error
