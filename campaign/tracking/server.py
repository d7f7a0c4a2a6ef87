"""MLflow's user interface over the project's store, in one process on loopback, behind a gate."""

import os
import secrets
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp

from campaign.core import log
from campaign.core.errors import TrackingError
from campaign.tracking.artifact_reader import ArtifactReader
from campaign.tracking.drivers import end_abandoned
from campaign.tracking.gate import TOKEN, Gate
from campaign.tracking.store import (
    ARTIFACTS,
    DATABASE,
    ENVIRONMENT,
    VIEW,
    VIEW_TAG,
    locked_store,
    store_uri,
)

if TYPE_CHECKING:
    import uvicorn

SERVER_ENVIRONMENT = {
    **ENVIRONMENT,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # else a dozen job runners and 2 GB
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",  # keep the check of the Host header
    "MLFLOW_ENABLE_WORKSPACES": "false",
    "_MLFLOW_SGI_NAME": "uvicorn",
}
# With any of these, MLflow would serve files or pages that we didn't ask for.
_UNWANTED = (
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION",
    "_MLFLOW_SERVER_ARTIFACTS_ONLY",
    "_MLFLOW_SERVER_READ_REPLICA_BACKEND_STORE",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS",
    "_MLFLOW_STATIC_PREFIX",
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "prometheus_multiproc_dir",
)
_LARGEST_HEADERS_BYTES = 64 * 1024
_GRACE_S = 3


@contextmanager
def listening(mlruns: Path, port: int = 5000, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Listen on `port` for a UI over the store in `mlruns`, until left.

    From here on the port is ours, so the address and its token can be shown: nobody else can
    answer at it. Raises TrackingError when there is no store yet, or when the port is taken.
    """
    database = mlruns.expanduser() / DATABASE
    if not database.is_file():
        raise TrackingError(
            f"there is nothing to show yet: {database} doesn't exist",
            resolution="Run a campaign first (`make search`), or name the folder it wrote to.",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        # A closed UI's lingering connections don't count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "ports end at 65535"
            raise TrackingError(
                f"the UI can't listen on {host}:{port}: {reason}",
                resolution=f"Use another port: `hpc-campaign ui --port {_next(port)}`, or "
                "end the program that uses this one.",
            ) from None
        yield listener


def draw_token() -> str:
    """Return a new token for one start of the UI, which no log of this process will show."""
    token = secrets.token_urlsafe(32)
    log.keep_secret(token)
    return token


def serve(mlruns: Path, listener: socket.socket, token: str) -> None:
    """Serve the UI to who has the token, until Ctrl-C or SIGTERM.

    MLflow's application runs in this process, behind our gate: it has no port of its own that
    another user of the machine could reach. Raises TrackingError if MLflow can't open the store.
    """
    port = listener.getsockname()[1]
    gate = Gate(_application(mlruns), token, port, ArtifactReader(mlruns))
    http_server(gate).run(sockets=[listener])


def http_server(app: ASGIApp) -> "uvicorn.Server":
    """Return what speaks HTTP for `app`, and nothing else but HTTP."""
    import uvicorn

    config = uvicorn.Config(
        app,
        # The other parser, which is taken where it is installed, keeps headers without an end: who
        # has no token could fill the memory with them.
        http="h11",
        h11_max_incomplete_event_size=_LARGEST_HEADERS_BYTES,
        # MLflow's own start and end clean up after its assistant, which isn't served.
        lifespan="off",
        ws="none",
        # The addresses in it would show the token.
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    return uvicorn.Server(config)


def _application(mlruns: Path) -> Any:
    """Return MLflow's ASGI application over the store in `mlruns`; it takes seconds to import."""
    folder = mlruns.expanduser().resolve()
    os.environ.update(SERVER_ENVIRONMENT)
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = store_uri(mlruns)
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(folder / ARTIFACTS)
    for name in _UNWANTED:
        os.environ.pop(name, None)
    from mlflow.exceptions import MlflowException
    from mlflow.server import handlers
    from mlflow.server.fastapi_app import app

    try:
        with ExitStack() as stack:
            # A campaign may be making the store just now, which two at once would ruin. Who can't
            # write the lock file can't change the store either.
            with suppress(OSError):
                stack.enter_context(locked_store(folder))
                end_abandoned(folder)
            handlers.initialize_backend_stores(
                store_uri(mlruns), store_uri(mlruns), str(folder / ARTIFACTS)
            )
    except (MlflowException, SQLAlchemyError) as error:
        raise TrackingError(
            f"MLflow can't open {folder / DATABASE}",
            str(error),
            "Restore the file from a copy, or make it again: `hpc-campaign report NAME`.",
        ) from None
    return app


def address(
    port: int, token: str, *, host: str = "127.0.0.1", experiment: str = "", view: str = ""
) -> str:
    """Return the address of the runs of `experiment` (an id), or of the list of experiments.

    The token in it lets a browser in; the gate then takes it out of the address. `view` names the
    shared view in which the runs are shown.

    The list's own links open the views for LLM traces; this address opens the ones for runs, as
    "Model training" in the side bar does.
    """
    page = f"experiments/{experiment}/runs" if experiment else "experiments"
    shown = f"&viewStateShareKey={view}" if experiment and view else ""
    return f"http://{host}:{port}/?{TOKEN}={token}#/{page}?workflowType=machine_learning{shown}"


def newest_experiment(mlruns: Path) -> str:
    """Return the id of the experiment that was made last, or "" if there is none."""
    return _ask(
        mlruns,
        "SELECT experiment_id FROM experiments WHERE experiment_id > 0 AND lifecycle_stage = "
        "'active' ORDER BY creation_time DESC LIMIT 1",
    )


def view_of(mlruns: Path, experiment: str) -> str:
    """Return the name of the view that a campaign left for the page of its runs, "" if none."""
    query = "SELECT 1 FROM experiment_tags WHERE experiment_id = ? AND key = ?"
    return VIEW if _ask(mlruns, query, experiment, VIEW_TAG) else ""


def _ask(mlruns: Path, query: str, *values: str) -> str:
    """Return the first value that a query finds, or "".

    The database itself is read: importing MLflow takes seconds.
    """
    database = mlruns.expanduser().resolve() / DATABASE
    if not database.is_file():
        return ""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store:
            found = store.execute(query, values).fetchone()
    except sqlite3.Error:
        return ""  # the server will say what is wrong with the file
    return str(found[0]) if found else ""


def _next(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 5000
