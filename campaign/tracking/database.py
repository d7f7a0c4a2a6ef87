"""The database of MLflow's store: whether it is one, and how a draft of it is made fast."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any


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
