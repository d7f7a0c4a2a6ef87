"""MLflow's runs as its database has them: read without MLflow, which would mend what it opens."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign.tracking.artifacts import ARTIFACT_BYTES, folder_of
from campaign.tracking.store import DATABASE

OF_TRIALS = frozenset({"checks.json", "jobs.parquet"})
"""The files that every valid trial's run has."""
OF_CAMPAIGN = frozenset({"campaign.yaml", "report.html"})
"""The files that the run of every campaign has that has ended."""


@dataclass(frozen=True)
class StoredRun:
    """A run that isn't deleted; `files` are the sizes of its files in bytes, by relative path."""

    status: str
    params: dict[str, str]
    tags: dict[str, str]
    files: dict[str, int]

    @property
    def of_trial(self) -> bool:
        """Whether it is the run of a trial, not of a campaign."""
        return self.tags.get("kind") == "trial"

    @property
    def what(self) -> str:
        """The run in words."""
        if self.of_trial:
            return f"the run of trial {self.tags.get('trial')}, attempt {self.tags.get('attempt')}"
        return "the campaign's run"


def stored_runs(mlruns: Path) -> list[StoredRun]:
    """Return the runs of the store in `mlruns`; none where there is no store yet.

    Raises sqlite3.Error for a database that is damaged.
    """
    path = mlruns / DATABASE
    if not path.is_file():
        return []
    # Not read-only: what a writer that was killed left of a transaction is to be rolled back.
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if not {"runs", "params", "tags"} <= tables:
            return []  # killed while it was made
        found = database.execute(
            "SELECT run_uuid, status, artifact_uri FROM runs WHERE lifecycle_stage = 'active'"
        ).fetchall()
        return [
            StoredRun(
                status,
                _values(database, "params", run),
                _values(database, "tags", run),
                _sizes(folder_of(mlruns, uri)),
            )
            for run, status, uri in found
        ]


def runs_broken(runs: list[StoredRun]) -> Iterator[str]:
    """Yield a line for each run that has ended, and whose files are missing or empty."""
    for run in runs:
        # A trial's run ends as FINISHED or FAILED; a campaign's may end without a report.
        if run.status == "RUNNING" or (run.status == "KILLED" and not run.of_trial):
            continue
        for name, size in run.files.items():
            if size == 0:
                yield f"{run.what} is {run.status}, but its {name} is empty"
        noted = run.tags.get(ARTIFACT_BYTES)
        # Of simulations, only the baseline and the front have files.
        of_trials = OF_TRIALS if noted != "0" else frozenset()
        wanted = of_trials if run.of_trial else OF_CAMPAIGN
        if run.status == "FINISHED" and not wanted <= run.files.keys():
            missing = ", ".join(sorted(wanted - run.files.keys()))
            yield f"{run.what} is FINISHED without {missing}"
        # Those of the front come before it is noted how many there are.
        if noted is not None and int(noted) > sum(run.files.values()):
            yield f"{run.what} has {sum(run.files.values())} bytes of files instead of {noted}"


def _values(database: sqlite3.Connection, table: str, run: str) -> dict[str, str]:
    query = f"SELECT key, value FROM {table} WHERE run_uuid = ?"  # noqa: S608 - a name of ours
    return dict(database.execute(query, (run,)))


def _sizes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
