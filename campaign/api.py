"""Campaigns from Python, in a notebook or a program: search, open, and what came of them as tables.

    from campaign import api

    found = api.search({"testbed": "simulation", "search.trials": 20, "name": "mine"})
    found.front().to_pandas()

Tables are Arrow's; their `to_pandas()` gives a data frame where pandas is installed. Whatever is
wrong is a `campaign.core.errors.CampaignError`, which says what, where, and how to fix it.
"""

import contextlib
import html
import io
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from campaign.config.compose import Composed, compose
from campaign.core.errors import LedgerError, UsageError
from campaign.core.files import user_path
from campaign.core.trials import TrialRecord
from campaign.execution.ending import recorded_trials
from campaign.execution.report_again import begun
from campaign.execution.run import run
from campaign.execution.verify import damages_of
from campaign.execution.verify_publication import is_publication, verify_publication
from campaign.records.campaigns import CampaignSummary, State, summaries, summary
from campaign.records.history import History
from campaign.records.results import Results
from campaign.records.verification import Damage
from campaign.report.result import baseline_among
from campaign.schema.model import Campaign, Direction
from search.pareto import front

__all__ = ["OpenedCampaign", "campaigns", "open_campaign", "search"]

Settings = Mapping[str, Any] | Sequence[str]
"""Settings by dotted name, or as the words of a command line: `search.trials=20`."""


def search(
    settings: Settings, *, config_dir: str | Path | None = None, quiet: bool = False
) -> "OpenedCampaign":
    """Run a campaign with these settings, or go on with it; return it as far as it came.

    Settings are those of `hpc-campaign search`, groups among them; `config_dir` is a folder of your
    own groups. Progress and front are shown as the command shows them, unless `quiet`. A program
    that calls this needs `if __name__ == "__main__":` around it, since MLflow is fed by a process
    of its own. Raises CampaignError when the campaign can't be carried out.
    """
    words = _words(settings)
    composed = compose(words, None if config_dir is None else user_path(str(config_dir)))
    with contextlib.ExitStack() as stack:
        if quiet:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        run(composed, arguments=words)
    output = composed.campaign.output
    return OpenedCampaign(Results(user_path(output.results), composed.campaign.name))


def open_campaign(name: str | Path, results: str | Path = "results") -> "OpenedCampaign":
    """Return the campaign `name` of a folder of results, or the published one in a folder.

    It may still run: what is shown is what its ledger had when it was opened. Raises LedgerError
    where there is none.
    """
    folder = user_path(str(name))
    if is_publication(folder):
        folder = folder.resolve()
        return OpenedCampaign(Results(folder.parent, folder.name))
    return OpenedCampaign(Results(user_path(str(results)), str(name)))


def campaigns(results: str | Path = "results") -> list[CampaignSummary]:
    """Return the campaigns of a folder of results, the most recently changed first."""
    return list(summaries(user_path(str(results)), recorded_trials))


class OpenedCampaign:
    """A campaign as its ledger had it when it was opened."""

    def __init__(self, results: Results) -> None:
        self._results = results
        opened: tuple[Composed, History] = begun(results)
        self._composed = opened[0]
        self._history = opened[1]

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.settings.name

    @property
    def folder(self) -> Path:
        """The folder of its results."""
        return self._results.folder

    @property
    def report(self) -> Path:
        """The page of its report, which is there once a trial is valid."""
        return self._results.report_path

    @property
    def settings(self) -> Campaign:
        """Every setting, as its ledger last recorded it."""
        return self._composed.campaign

    @property
    def objectives(self) -> Mapping[str, Direction]:
        """The metrics that were searched for, each with its direction."""
        return self.settings.objectives

    @property
    def state(self) -> State:
        """How far it is now: running, finished, failed or interrupted."""
        return summary(self._results.name, self._results.ledger_path, recorded_trials).state

    @cached_property
    def records(self) -> tuple[TrialRecord, ...]:
        """The record of each trial of the newest group, in their order."""
        return tuple(self._history.comparable())

    @property
    def baseline(self) -> TrialRecord | None:
        """The trial that the others are compared with; None while there is none."""
        return baseline_among(self.records)

    def trial(self, number: int) -> TrialRecord:
        """Return the record of a trial; LedgerError where there is none."""
        found = next((record for record in self.records if record.number == number), None)
        if found is None:
            there = f"{len(self.records)}, from 0" if self.records else "none yet"
            raise LedgerError(
                f"the campaign {self.name} has no trial {number}", resolution=f"There are {there}."
            )
        return found

    def trials(self) -> pa.Table:
        """Return a row per trial: outcome, whether it is on the front, its point, its metrics.

        Settings of the point have their dotted names, metrics their own. What a trial lacks is
        null.
        """
        best = {record.number for record in self._front()}
        return _table(self.records, best)

    def front(self) -> pa.Table:
        """Return those rows of `trials` that no other trial beats, best in the first one first."""
        best = self._front()
        return _table(best, {record.number for record in best})

    def jobs(self, trial: int | None = None, instance: int = 0) -> pa.Table:
        """Return every job of one trial on one instance, or of all trials on all of them.

        docs/columns.md says what the columns are. There are no rows where nothing was kept.
        """
        if trial is None:
            return self._results.jobs()
        found = self._results.trial_jobs(self.trial(trial).number, instance)
        return self._results.jobs().slice(0, 0) if found is None else found

    def workload(self, instance: int = 0) -> pa.Table:
        """Return the jobs that trials replay on an instance, with what is known of each.

        Raises LedgerError where they weren't kept, or aren't what they were.
        """
        found = self._results.workload(self._history.group, instance)
        if found is None:
            raise LedgerError(f"{self.folder} keeps no jobs of the instance {instance}")
        table = found.table
        for name in found.traits.column_names:
            if name not in table.column_names:
                table = table.append_column(name, found.traits.column(name))
        return table

    def quality(self) -> dict[str, Any]:
        """Return how good the front is, as front.json has it; empty while no trial is valid."""
        if not self._results.front_path.is_file():
            return {}
        found: dict[str, Any] = json.loads(self._results.front_path.read_bytes())
        return found

    def damages(self) -> list[Damage]:
        """Return what is wrong with its files and figures: nothing, as a rule."""
        if is_publication(self.folder):
            return list(verify_publication(self.folder).damages)
        return damages_of(self.folder.parent, self.folder.name)

    def refreshed(self) -> "OpenedCampaign":
        """Return the campaign as its ledger has it now."""
        return OpenedCampaign(self._results)

    def __repr__(self) -> str:
        return (
            f"<campaign {self.name}: {len(self.records)} trials, {len(self._front())} on the front>"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the front's objectives and settings."""
        best = self._front()
        points = dict.fromkeys(name for record in best for name in record.point)
        shown = ["trial", *self.objectives, *points]
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in shown)
        rows = "".join(
            "<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in shown) + "</tr>"
            for row in self.front().to_pylist()
        )
        title = html.escape(repr(self)[1:-1])
        return f"<p>{title}</p><table><tr>{heads}</tr>{rows}</table>"

    def _front(self) -> list[TrialRecord]:
        return front(self.records, self.objectives, self.settings.search.constraints)


def _words(settings: Settings) -> list[str]:
    """Return settings as the words of a command line."""
    if isinstance(settings, str):
        raise UsageError(
            f"settings = {settings!r}: expected a mapping or a list of words",
            resolution=f"Write [{settings!r}].",
        )
    if not isinstance(settings, Mapping):
        return list(settings)
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in settings.items()
    ]


def _table(records: Sequence[TrialRecord], best: set[int]) -> pa.Table:
    points = dict.fromkeys(name for record in records for name in record.point)
    metrics = dict.fromkeys(name for record in records for name in record.metrics)
    columns = {
        "trial": pa.array([record.number for record in records], pa.int64()),
        "outcome": pa.array([record.outcome for record in records], pa.string()),
        "baseline": pa.array([record.baseline for record in records], pa.bool_()),
        "front": pa.array([record.number in best for record in records], pa.bool_()),
        **{name: _column([record.point.get(name) for record in records]) for name in points},
        **{
            name: pa.array([record.metrics.get(name) for record in records], pa.float64())
            for name in metrics
        },
    }
    return pa.table(columns)


def _column(values: Sequence[Any]) -> pa.Array:
    """Return values of a setting: numbers where all are, else their text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _cell(value: object) -> str:
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))
