"""MLflow's store in a folder: how it is made, opened, locked and kept free of absolute paths."""

import logging
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from campaign.core.errors import TrackingError
from campaign.core.files import flush, lock, make_folder

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
VIEW = "campaign"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
"""The experiment's tag in which MLflow's pages find the shared view of this name."""
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "_MLFLOW_TELEMETRY_PRE_WARM_DATABRICKS_SDK": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
"""MLflow's environment when it is imported: nothing is sent anywhere, only errors are printed."""
_BUSY_S = 20.0  # as long as MLflow waits for somebody else's transaction


def store_uri(mlruns: Path, database: str = DATABASE) -> str:
    """Return MLflow's address of the store in the folder `mlruns`."""
    return f"sqlite:///{(mlruns.expanduser().resolve() / database).as_posix()}"


def open_store(mlruns: Path) -> Any:
    """Return an MlflowClient of the store in `mlruns`, which is made where it is missing.

    Raises TrackingError when the store can't be opened.
    """
    mlflow = _quiet_mlflow()
    with locked_store(mlruns):
        try:
            check_database(mlruns / DATABASE)
            if not (mlruns / DATABASE).exists():
                _make_database(mlruns)
            client = mlflow.MlflowClient(tracking_uri=store_uri(mlruns))
            client.search_experiments(max_results=1)
            make_relative(mlruns / DATABASE)
        except Exception as error:
            raise TrackingError(
                f"can't open the MLflow store {mlruns / DATABASE}",
                str(error),
                "Move the file away to start a new store; `hpc-campaign report NAME` fills "
                "it from the ledger.",
            ) from error
    return client


def artifact_location(experiment: str) -> str:
    """Return where the runs of an experiment have their files, relative to the store's folder."""
    return f"{ARTIFACTS}/{experiment}"


def make_relative(database: Path) -> None:
    """Have the store say where files are relative to its own folder, so that it can be moved.

    MLflow itself only takes absolute places for a new experiment; earlier versions left them so.
    Experiments whose files never were below the store's folder are left alone.
    """
    with closing(sqlite3.connect(database, timeout=_BUSY_S)) as store:
        query = "SELECT experiment_id, name, artifact_location FROM experiments"
        absolute = [row for row in store.execute(query).fetchall() if _was_below(*row[1:])]
    if not absolute:
        return
    with transaction(database) as store:
        for number, name, place in absolute:
            ours = artifact_location(name)
            store.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (ours, number),
            )
            store.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
                "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
                (ours, len(place) + 1, number, len(place), place),
            )


def _was_below(name: str, place: str | None) -> bool:
    path = (place or "").removeprefix("file://")
    return path.startswith("/") and path.endswith(f"/{artifact_location(name)}")


@contextmanager
def transaction(database: Path) -> Iterator[sqlite3.Connection]:
    """Open the store's database for one transaction, which is on the disk when this is left."""
    with closing(sqlite3.connect(database, timeout=_BUSY_S, isolation_level=None)) as store:
        store.execute("PRAGMA foreign_keys = ON")
        store.execute("BEGIN IMMEDIATE")
        try:
            yield store
        except BaseException:
            store.execute("ROLLBACK")
            raise
        store.execute("COMMIT")


def _make_database(mlruns: Path) -> None:
    """Make the store's database, which appears whole or not at all.

    MLflow makes one in hundreds of steps; one where these were cut off can't be opened.
    """
    for left in mlruns.glob(f".{DATABASE}.*"):
        left.unlink()
    # Another name each time: MLflow remembers the databases that it has opened.
    draft = mlruns / f".{DATABASE}.{secrets.token_hex(4)}"
    with unflushed():
        client = _quiet_mlflow().MlflowClient(tracking_uri=store_uri(mlruns, draft.name))
        client.search_experiments(max_results=1)
    flush(draft)
    draft.replace(mlruns / DATABASE)
    flush(mlruns)


def _quiet_mlflow() -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return mlflow


@contextmanager
def locked_store(mlruns: Path) -> Iterator[None]:
    """Hold the store's lock file, from one thread once at a time; other processes wait.

    A fresh database that several processes open at once is ruined for good, and MLflow looks and
    inserts in two steps: of two processes that make the same run, or set the same tag for the first
    time, one makes a second or fails.
    """
    make_folder(mlruns)
    with lock(mlruns / ".lock"):
        yield


def check_database(database: Path) -> None:
    """Raise sqlite3.Error for a file that is no database: MLflow would try it for minutes."""
    if not database.exists():
        return
    uri = f"{database.resolve().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=0)) as store:
        try:
            store.execute("PRAGMA schema_version").fetchone()
        except sqlite3.OperationalError as error:
            # One that somebody writes to is waited for by MLflow itself.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise


@contextmanager
def unflushed() -> Iterator[None]:
    """Let SQLite flush nothing to the disk in connections that are opened inside.

    A draft is flushed once, as a whole. On a busy disk, hundreds of flushes take minutes.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def leave_to_the_kernel(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", leave_to_the_kernel)
    try:
        yield
    finally:
        event.remove(Engine, "connect", leave_to_the_kernel)
