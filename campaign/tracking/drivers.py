"""Which campaigns in MLflow's store have a living driver; the runs of the others are ended."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from campaign.core.errors import StorageError
from campaign.core.files import in_use, lock, make_folder
from campaign.tracking.store import DATABASE, locked_store, transaction

DRIVERS = ".drivers"
"""The store's folder of lock files, one for each campaign whose driver lives."""
_RUNNING = (
    "SELECT runs.run_uuid, own.value FROM runs "
    "JOIN tags AS own ON own.run_uuid = runs.run_uuid AND own.key = 'campaign' "
    "JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = 'kind' "
    "WHERE status = 'RUNNING' AND lifecycle_stage = 'active' AND kind.value = 'campaign'"
)
_END = (
    "UPDATE runs SET status = 'KILLED', end_time = coalesce("
    "(SELECT max(trial.end_time) FROM runs AS trial "
    "JOIN tags ON tags.run_uuid = trial.run_uuid AND tags.key = 'mlflow.parentRunId' "
    "WHERE tags.value = runs.run_uuid), start_time) WHERE run_uuid = ?"
)


@contextmanager
def driving(mlruns: Path, identity: str) -> Iterator[None]:
    """Show while inside that the campaign's driver lives; the kernel notices if it dies.

    Where the store can't be written nothing is shown: whoever logs there will say so.
    """
    path = _lock_file(mlruns, identity)
    with ExitStack() as stack:
        with suppress(OSError, StorageError), locked_store(mlruns):
            make_folder(path.parent)
            stack.enter_context(lock(path))
            stack.callback(path.unlink, missing_ok=True)
        yield


def end_abandoned(mlruns: Path) -> list[str]:
    """Mark the runs of campaigns as killed whose driver is dead; return their identities.

    Such a run ended when the last of its trials did that are logged, or when it began. The caller
    holds the store's lock. A store that this user can't write is left as it is.
    """
    if not (mlruns / DATABASE).is_file():
        return []
    with suppress(OSError, sqlite3.Error), transaction(mlruns / DATABASE) as store:
        dead = {
            run: identity
            for run, identity in store.execute(_RUNNING).fetchall()
            if not in_use(_lock_file(mlruns, identity))
        }
        store.executemany(_END, [(run,) for run in dead])
        for identity in dead.values():
            _lock_file(mlruns, identity).unlink(missing_ok=True)
        return list(dead.values())
    return []


def _lock_file(mlruns: Path, identity: str) -> Path:
    # By its hash: an identity of an earlier version is the campaign's name.
    return mlruns / DRIVERS / hashlib.sha256(identity.encode()).hexdigest()[:32]
