"""A process of its own that logs a running campaign to MLflow.

Importing MLflow and making a store take 3.6 s of CPU time, each trial 0.06 s more (0.2 to 0.3 s on
a busy machine of two cores; measured with twelve small trials). In the driver, that would be time
in which no trial is started or judged, and a single `Tracker.sync` at the end would leave MLflow's
pages empty until then. MLflow's own asynchronous logging runs in threads of the process that has
imported it, so it would not help.
"""

import ctypes
import logging
import multiprocessing
import queue
import signal
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from campaign.core.errors import CampaignError, TrackingError
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.records.ledger import History
from campaign.records.results import Results
from campaign.schema.model import Campaign
from campaign.schema.settings import Scalar
from campaign.tracking.mlflow_tracker import Artifacts, Tracker
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import ARMS, PARAMS, Space

JOIN_S = 120.0
PR_SET_PDEATHSIG = 1  # prctl(2)
_log = logging.getLogger(__name__)


def tracker_for(
    campaign: Campaign,
    config: str,
    fixed: Mapping[str, Scalar],
    results: Results,
    history: History,
) -> Tracker:
    """Return the tracker of a begun campaign.

    `config` is its configuration as text; `fixed` are all parameters that no trial varies, by
    dotted setting, those at their defaults too.
    """
    return Tracker(
        Path(campaign.output.mlruns),
        campaign.name,
        config,
        fixed=fixed,
        manifests=results.manifests(),
        identity=history.identity,
        testbed=campaign.testbed.kind,
    )


def parameters_of(schedulers: Mapping[str, Scheduler[Params]], space: Space) -> dict[str, Scalar]:
    """Return every parameter that no trial of `space` varies, by dotted setting.

    Those that the campaign doesn't set have their scheduler's defaults.
    """
    defaults = {
        f"{ARMS}.{name}.{key}" if space.conditional else f"{PARAMS}.{key}": value
        for name, scheduler in schedulers.items()
        for key, value in scheduler.Params().model_dump().items()
    }
    return defaults | dict(space.fixed)


def bring_up_to_date(
    tracker: Tracker,
    results: Results,
    records: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    wanted: int,
) -> None:
    """Log what is missing of `records`, tag the `front`, and close the campaign's run.

    The run is complete if all `wanted` trials are there.
    """
    tracker.start()
    tracker.sync(records, lambda record: artifacts_of(results, record))
    tracker.finish(
        front,
        complete=len(records) >= wanted,
        artifacts=(results.report_path, results.fairness_path),
    )


class MlflowWorker:
    """A listener that logs each judged trial to MLflow, after what a crash left out.

    MLflow's failures never stop trials: `finish` raises them, and without a call of it they are
    logged when the worker ends.
    """

    def __init__(self, tracker: Tracker, results: Results, history: History, wanted: int) -> None:
        self._tracker = tracker
        self._results = results
        self._history = history
        self._wanted = wanted
        self._queue: queue.Queue[tuple[str, tuple[Any, ...]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._feed, name="mlflow", daemon=True)
        self._failure: str | None = None

    def __enter__(self) -> Self:
        spawn = multiprocessing.get_context("spawn")
        self._ours, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_serve, args=(theirs, self._tracker, self._results), daemon=True
        )
        self._process.start()
        theirs.close()
        self._queue.put(("sync", (self._history.final(),)))
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._thread.is_alive():
            self._close()
        if self._failure:
            _log.warning("MLflow is not up to date: %s", self._failure)

    def asked(self, trial: int, point: Mapping[str, Any]) -> None:
        """Log nothing: MLflow gets an attempt once it has ended."""

    def started(self, trial: Trial) -> None:
        """Log nothing: MLflow gets an attempt once it has ended."""

    def running(self, statuses: Mapping[int, Status]) -> None:
        """Log nothing: MLflow gets an attempt once it has ended."""

    def finished(self, record: TrialRecord, evaluation: Evaluation, *, settled: bool) -> None:
        """Have the attempt logged; return at once."""
        self._queue.put(("log", (record, Artifacts(evaluation.jobs, evaluation.files))))

    def finish(self, front: Sequence[TrialRecord]) -> None:
        """Log what is missing, tag the front and close the campaign's run.

        Raises TrackingError when MLflow failed, or is not done after JOIN_S seconds.
        """
        self._queue.put(("finish", (self._history.final(), list(front), self._wanted)))
        self._close()
        failure = self._failure
        self._failure = None
        if failure:
            raise TrackingError(failure)

    def _close(self) -> None:
        self._queue.put(None)
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            self._process.kill()
            self._thread.join()
            self._failure = f"it was still busy after {JOIN_S:g} s"
            _log.debug("killed the MLflow process %s", self._process.pid)
        self._process.join()

    def _feed(self) -> None:
        # What is to be logged goes to the process one by one; then comes its answer.
        try:
            while (item := self._queue.get()) is not None:
                self._ours.send(item)
            self._ours.send(None)
            self._failure = self._ours.recv()
        except (OSError, EOFError):
            self._failure = _last_words(self._ours)


def _last_words(connection: Connection) -> str:
    """Return what the process said of its end, if it could."""
    try:
        if connection.poll():
            return str(connection.recv())
    except (OSError, EOFError):
        pass
    return "its process ended"


def _serve(connection: Connection, tracker: Tracker, results: Results) -> None:
    """Carry out what comes through `connection` until None does; answer with the failure or None.

    It is the main function of the worker's process.
    """
    # A terminal's Ctrl-C reaches this process too, but the driver says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # When the driver dies, so does this process: the next driver logs what is missing.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    failure = None
    try:
        tracker.start()
        while (item := connection.recv()) is not None:
            what, arguments = item
            _carry_out(what, arguments, tracker, results)
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - told to the driver; the ledger has everything
        failure = first_line(error)
    connection.send(failure)


def _carry_out(what: str, arguments: tuple[Any, ...], tracker: Tracker, results: Results) -> None:
    if what == "sync":
        (records,) = arguments
        tracker.sync(records, lambda record: artifacts_of(results, record))
    elif what == "log":
        tracker.log(*arguments)
    else:
        bring_up_to_date(tracker, results, *arguments)


def first_line(error: Exception) -> str:
    """Return the first line of an error of MLflow's; the whole may be pages of SQL."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def artifacts_of(results: Results, record: TrialRecord) -> Artifacts:
    """Return what a trial left on the disk; nothing where that can't be read."""
    try:
        return Artifacts(results.trial_jobs(record.number), results.files(record.number))
    except CampaignError:
        return Artifacts()
