"""MLflow's user interface over the project's store: two processes on loopback, not fifteen."""

import os
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from campaign.core.errors import TrackingError
from campaign.tracking.mlflow_tracker import DATABASE, ENVIRONMENT, store_uri

SERVER_ENVIRONMENT = {
    **ENVIRONMENT,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # else a dozen job runners and 2 GB
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",  # keep the check of the Host header
}


def serve(mlruns: Path, port: int = 5000, host: str = "127.0.0.1") -> None:
    """Become the UI's server, and never return. Ctrl-C or SIGTERM ends it and its child.

    Raises TrackingError when there is no store yet, or when the port is taken.
    """
    check(mlruns, port, host)
    environment = {**os.environ, **SERVER_ENVIRONMENT}
    os.execve(sys.executable, command(mlruns, port, host), environment)  # noqa: S606


def address(port: int = 5000, host: str = "127.0.0.1", experiment: str = "") -> str:
    """Return the address of the runs of `experiment` (an id), or of the list of experiments.

    The list's own links open the views for LLM traces; this address opens the ones for runs, as
    "Model training" in the side bar does.
    """
    page = f"experiments/{experiment}/runs" if experiment else "experiments"
    return f"http://{host}:{port}/#/{page}?workflowType=machine_learning"


def newest_experiment(mlruns: Path) -> str:
    """Return the id of the experiment that was made last, or "" if there is none.

    It is read from the database itself: importing MLflow takes seconds.
    """
    database = mlruns.expanduser().resolve() / DATABASE
    if not database.is_file():
        return ""
    query = (
        "SELECT experiment_id FROM experiments WHERE experiment_id > 0 AND lifecycle_stage = "
        "'active'"
    )
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store:
            found = store.execute(f"{query} ORDER BY creation_time DESC LIMIT 1").fetchone()
    except sqlite3.Error:
        return ""  # the server will say what is wrong with the file
    return str(found[0]) if found else ""


def command(mlruns: Path, port: int, host: str) -> list[str]:
    """Return the command line of the server."""
    artifacts = str(mlruns.expanduser().resolve() / "artifacts")
    store = ["--backend-store-uri", store_uri(mlruns), "--default-artifact-root", artifacts]
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        *store,
        "--host",
        host,
        "--port",
        str(port),
        "--workers",
        "1",
    ]


def check(mlruns: Path, port: int, host: str = "127.0.0.1") -> None:
    """Raise TrackingError unless a UI can be served from this store on this address."""
    database = mlruns.expanduser() / DATABASE
    if not database.is_file():
        raise TrackingError(
            f"there is nothing to show yet: {database} doesn't exist",
            resolution="Run a campaign first (`make search`), or name the folder it wrote to.",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # A closed UI's lingering connections don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise TrackingError(
                f"the UI can't listen on {host}:{port}: {error.strerror}",
                resolution=f"Use another port: `hpc-campaign ui --port {_next(port)}`, or "
                "end the program that uses this one.",
            ) from None


def _next(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 5000
