"""The tables of MLflow's SQLite database that trials are written to, and how their rows look."""

import math
import sqlite3
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from campaign.tracking.artifacts import ARTIFACT_BYTES

if TYPE_CHECKING:
    from campaign.tracking.trial_runs import MetricPoint, RunPlace, Tags, WholeRun

COLUMNS = {
    "runs": (
        "run_uuid name source_type source_name entry_point_name user_id status start_time end_time "
        "source_version lifecycle_stage artifact_uri experiment_id deleted_time"
    ),
    "params": "key value run_uuid",
    "tags": "key value run_uuid",
    "metrics": "key value timestamp run_uuid step is_nan",
    "latest_metrics": "key value timestamp step is_nan run_uuid",
    "datasets": (
        "dataset_uuid experiment_id name digest dataset_source_type dataset_source dataset_schema "
        "dataset_profile"
    ),
    "inputs": "input_uuid source_type source_id destination_type destination_id step",
}
"""The columns that each table must have, no more and no less, for rows to be written here."""
_AT_ONCE = 500  # values in one query; SQLite allows some ten thousand


class RunRows(NamedTuple):
    """A run that is to be inserted under `run_id`, with its place and all of its tags."""

    run_id: str
    uri: str
    run: "WholeRun"
    tags: dict[str, str]


def are_known(database: Path) -> bool:
    """Return whether the database has exactly the tables and columns that are written here."""
    with closing(sqlite3.connect(database)) as store:
        return all(
            {row[1] for row in store.execute(f"PRAGMA table_info({table})")} == set(names.split())
            for table, names in COLUMNS.items()
        )


def trials(
    store: sqlite3.Connection, place: "RunPlace"
) -> Iterator[tuple[str, tuple[str, str], str, str, str | None, bool]]:
    """Yield the fields of a `LoggedTrial` for each run of a campaign's trials, the oldest first."""
    wanted = ("trial", "attempt", ARTIFACT_BYTES, "front")
    values = ", ".join(
        f"(SELECT value FROM tags WHERE run_uuid = runs.run_uuid AND key = '{key}')"  # noqa: S608
        for key in wanted
    )
    query = (
        f"SELECT runs.run_uuid, status, artifact_uri, {values} FROM runs "  # noqa: S608
        "JOIN tags AS own ON own.run_uuid = runs.run_uuid AND own.key = 'campaign' "
        "JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = 'kind' "
        "WHERE experiment_id = ? AND lifecycle_stage = 'active' AND own.value = ? "
        "AND kind.value = 'trial' ORDER BY start_time, runs.run_uuid"
    )
    found = store.execute(query, (int(place.experiment), place.campaign))
    for run_id, status, uri, trial, attempt, noted, front in found.fetchall():
        yield run_id, (trial or "", attempt or ""), status, uri, noted, front == "true"


def stages(store: sqlite3.Connection, run_ids: Iterable[str]) -> dict[str, str]:
    """Return the life-cycle stage, by id, of those runs that there are."""
    wanted = list(run_ids)
    found: dict[str, str] = {}
    for at in range(0, len(wanted), _AT_ONCE):
        some = wanted[at : at + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        among = f"run_uuid IN ({marks})"
        query = f"SELECT run_uuid, lifecycle_stage FROM runs WHERE {among}"  # noqa: S608
        found.update(store.execute(query, some).fetchall())
    return found


def insert(store: sqlite3.Connection, place: "RunPlace", rows: Sequence[RunRows]) -> None:
    """Insert runs as MLflow's client would leave them."""
    _put(store, "runs", (_run(one, place) for one in rows))
    _put(
        store,
        "params",
        ((key, value, one.run_id) for one in rows for key, value in one.run.params.items()),
    )
    _put(
        store, "tags", ((key, value, one.run_id) for one in rows for key, value in one.tags.items())
    )
    metrics = [
        (one.run_id, one.run.ended, key, *_number(value))
        for one in rows
        for key, value in one.run.metrics.items()
    ]
    _put(store, "metrics", ((key, v, at, run, 0, nan) for run, at, key, v, nan in metrics))
    _put(store, "latest_metrics", ((key, v, at, 0, nan, run) for run, at, key, v, nan in metrics))
    if place.dataset is not None:
        source = _dataset_id(store, place)
        _put(
            store,
            "inputs",
            ((uuid.uuid4().hex, "DATASET", source, "RUN", one.run_id, 0) for one in rows),
        )


def _run(one: RunRows, place: "RunPlace") -> tuple[object, ...]:
    run = one.run
    about = (one.run_id, run.name, "UNKNOWN", "", "", "unknown")
    state = (run.status, run.started, run.ended, "", "active")
    return (*about, *state, one.uri, int(place.experiment), None)


def _dataset_id(store: sqlite3.Connection, place: "RunPlace") -> str:
    dataset = place.dataset.dataset
    query = "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?"
    found = store.execute(query, (int(place.experiment), dataset.name, dataset.digest)).fetchone()
    return str(found[0])


def tag(store: sqlite3.Connection, tags: "Tags") -> None:
    """Set and remove tags."""
    changes = [(name, value, run) for run, values in tags.items() for name, value in values.items()]
    store.executemany(
        "DELETE FROM tags WHERE key = ? AND run_uuid = ?", [(name, run) for name, _, run in changes]
    )
    _put(store, "tags", (one for one in changes if one[1] is not None))


def replace_metrics(
    store: sqlite3.Connection, run_id: str, points: "Sequence[MetricPoint]"
) -> None:
    """Put the points in the place of those that these metrics of a run have."""
    last = {one.name: one for one in sorted(points, key=lambda one: one.step)}
    for table in ("metrics", "latest_metrics"):
        store.executemany(
            f"DELETE FROM {table} WHERE run_uuid = ? AND key = ?",  # noqa: S608 - a name of ours
            [(run_id, name) for name in last],
        )
    _put(
        store,
        "metrics",
        (
            (one.name, value, one.at, run_id, one.step, nan)
            for one in points
            for value, nan in [_number(one.value)]
        ),
    )
    _put(
        store,
        "latest_metrics",
        (
            (one.name, value, one.at, one.step, nan, run_id)
            for one in last.values()
            for value, nan in [_number(one.value)]
        ),
    )


def _number(value: float) -> tuple[float, int]:
    """Return a metric's value as MLflow stores it, and whether it is no number."""
    if math.isnan(value):
        return 0.0, 1
    return max(-sys.float_info.max, min(sys.float_info.max, value)), 0


def _put(store: sqlite3.Connection, table: str, rows: Iterable[Sequence[object]]) -> None:
    names = COLUMNS[table].split()
    marks = ", ".join("?" * len(names))
    columns = ", ".join(names)
    statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
    store.executemany(statement, rows)
