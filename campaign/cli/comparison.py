"""`hpc-campaign report compare`: two trials of the same jobs, side by side."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from campaign.analysis.arm import Arm
from campaign.analysis.compare import compare
from campaign.analysis.fairness import manifest
from campaign.cli.output import say
from campaign.config.compose import Composed
from campaign.core.errors import ConfigError, LedgerError
from campaign.execution.report_again import begun
from campaign.records.history import History
from campaign.records.results import Results
from campaign.report.comparison.as_json import plain
from campaign.report.comparison.page import page
from campaign.report.comparison.text import sections, title
from campaign.report.sections import lines
from campaign.schema.model import Direction


def print_comparison(options: argparse.Namespace, named: Sequence[tuple[str, int]]) -> None:
    """Print two trials side by side, each given as campaign and number; write files as asked for.

    Raises LedgerError where a trial can't be compared, ConfigError where a file can't be written.
    """
    arms = []
    schedulers = {}
    records = []
    objectives: dict[str, Direction] = {}
    for name, number in named:
        results = Results(options.results, name)
        composed, history = begun(results)
        arm = _arm(results, number, composed, history)
        arms.append(arm)
        scheduler = composed.space.scheduler(arm.record.point)
        schedulers[scheduler] = composed.schedulers[scheduler]
        records += history.comparable(arm.record.group)
        objectives |= composed.campaign.objectives
    found = compare(arms[0], arms[1], objectives)
    fairness = manifest(schedulers, records) if len(schedulers) > 1 else []
    written = list(sections(found, fairness, options.top))
    if options.json:
        _write(options.json, json.dumps(plain(found, fairness), allow_nan=False) + "\n")
    if options.html:
        _write(options.html, page(found, written))
    say("\n".join(lines(title(found), written)))


def _arm(results: Results, number: int, composed: Composed, history: History) -> Arm:
    """Return a trial of a campaign as it is compared.

    Raises LedgerError where there is no such trial, or none of its jobs.
    """
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
    slots_per_node = composed.campaign.cluster.node_slots
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
