"""A process of its own that logs a running campaign to MLflow.

Importing MLflow and making a store take 3.6 s of CPU time, each trial 0.06 s more (0.2 to 0.3 s on
a busy machine of two cores; measured with twelve small trials). In the driver, that would be time
in which no trial is started or judged, and a single `Tracker.sync` at the end would leave MLflow's
pages empty until then. MLflow's own asynchronous logging runs in threads of the process that has
imported it, so it would not help.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from typing import TYPE_CHECKING, Any, Self

from campaign.core.errors import CampaignError, TrackingError
from campaign.core.files import user_path
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.records.history import Asked, History
from campaign.records.results import Results
from campaign.schema.model import Campaign
from campaign.schema.settings import Scalar
from campaign.tracking.mlflow_tracker import Tracker
from campaign.tracking.run_values import Artifacts
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import ARMS, PARAMS, Space

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray

STALLED_S = 120.0
"""A store that logs nothing for so long is waited for no more: a run takes a second at most."""
POLL_S = 0.2
TOLD_FIRST_S = 1.0
TOLD_EVERY_S = 10.0
"""How soon and how often the log says how many runs are left, while they are waited for."""
STEPS = 0
LOGGED = 1
"""The places of the counts that the process keeps."""
PR_SET_PDEATHSIG = 1  # prctl(2)
START: SpawnContext | ForkContext = multiprocessing.get_context("spawn")
"""How the process is started: anew, since a fork would share the locks of the driver's threads."""
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
        user_path(campaign.output.mlruns),
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
        f"{ARMS}.{name}.{key}" if space.has_arms else f"{PARAMS}.{key}": value
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
    *,
    artifacts: Callable[[TrialRecord], Artifacts] | None = None,
) -> None:
    """Log what is missing of `records`, tag the `front`, and close the campaign's run.

    The run is complete if all `wanted` trials are there. `artifacts` gives what a trial left;
    without it, that is what is on the disk.
    """
    tracker.start()
    tracker.sync(records, artifacts or (lambda record: artifacts_of(results, record)))
    tracker.finish(
        front,
        ended=end_of(records),
        complete=len(records) >= wanted,
        artifacts=(results.report_path, results.fairness_path),
    )


def end_of(records: Sequence[TrialRecord]) -> float:
    """Return when the last of the trials ended (Unix seconds); now, if there are none."""
    return max((record.ended for record in records), default=time.time())


class MlflowWorker:
    """A listener that logs each judged trial to MLflow, after what a crash left out.

    MLflow's failures never stop trials: `finish` raises them, and without a call of it they are
    logged when the worker ends. A worker that ends without `finish` closes the campaign's run as
    killed; what isn't logged by then is left to the next start, or to `hpc-campaign report`.
    """

    def __init__(self, tracker: Tracker, results: Results, history: History, wanted: int) -> None:
        self._tracker = tracker
        self._results = results
        self._history = history
        self._wanted = wanted
        self._queue: queue.Queue[tuple[str, tuple[Any, ...]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._feed, name="mlflow", daemon=True)
        self._failure: str | None = None
        self._asked = 0

    def __enter__(self) -> Self:
        self._ours, theirs = START.Pipe()
        self._counts = START.Array("q", 2)
        self._process = START.Process(
            target=_serve,
            args=(theirs, self._tracker, self._results, self._counts),
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._queue.put(("sync", (self._history.final(),)))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if self._thread.is_alive():
            if kind is not None:
                self._leave_the_rest()
            self._queue.put(("interrupt", (self._history.final(),)))
            self._close()
        if self._failure:
            _log.warning("MLflow is not up to date: %s", self._failure)

    def asked(self, trial: Asked) -> None:
        """Log nothing: MLflow gets an attempt once it has ended."""

    def started(self, trial: Trial) -> None:
        """Log nothing: MLflow gets an attempt once it has ended."""

    def running(self, statuses: Mapping[int, Status]) -> None:
        """Log nothing: MLflow gets an attempt once it has ended."""

    def finished(self, record: TrialRecord, evaluation: Evaluation, *, settled: bool) -> None:
        """Have the attempt logged, where it is a whole trial's; return at once."""
        if self._history.rule.searched == 1 and not record.instance:
            self._asked += 1
            self._queue.put(("log", (record, Artifacts(evaluation.jobs, evaluation.files))))

    def concluded(self, record: TrialRecord) -> None:
        """Have the trial logged, where it has several replicates; return at once."""
        if record.replicates:
            self._asked += 1
            self._queue.put(("log", (record, artifacts_of(self._results, record))))

    def finish(self, front: Sequence[TrialRecord]) -> None:
        """Log what is missing, tag the front and close the campaign's run.

        It takes as long as it makes progress, and the log says how many runs are left. Raises
        TrackingError when MLflow failed, or made no progress for STALLED_S seconds.
        """
        self._queue.put(("finish", (self._history.final(), list(front), self._wanted)))
        self._close()
        failure = self._failure
        self._failure = None
        if failure:
            raise TrackingError(failure)

    def _leave_the_rest(self) -> None:
        """Take back what the process hasn't been given yet, and tell how much that is."""
        left = 0
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._queue.get_nowait()
                left += item is not None and item[0] == "log"
        if left:
            _log.info("%s not logged to MLflow yet; the next start logs them", _runs(left))

    def _close(self) -> None:
        self._queue.put(None)
        try:
            stalled = not self._wait()
        except BaseException:  # a second Ctrl-C
            self._process.kill()
            raise
        if stalled:
            self._process.kill()
            self._thread.join()
            self._failure = f"it made no progress for {STALLED_S:g} s"
            _log.debug("killed the MLflow process %s", self._process.pid)
        self._process.join()

    def _wait(self) -> bool:
        """Wait for the process as long as it makes progress; return False if it makes none."""
        seen = -1
        moved = time.monotonic()
        told = moved - TOLD_EVERY_S + TOLD_FIRST_S
        while self._thread.is_alive():
            now = time.monotonic()
            steps, logged = self._counts[:]
            if steps != seen:
                seen = steps
                moved = now
            if now - moved > STALLED_S:
                return False
            if now - told > TOLD_EVERY_S:
                told = now
                left = max(0, self._asked - logged)
                _log.info("MLflow: %s left to log", _runs(left))
            self._thread.join(POLL_S)
        return True

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


def _runs(count: int) -> str:
    return f"{count} run is" if count == 1 else f"{count} runs are"


def _serve(
    connection: Connection, tracker: Tracker, results: Results, counts: "SynchronizedArray[int]"
) -> None:
    """Carry out what comes through `connection` until None does; answer with the failure or None.

    It is the main function of the worker's process. `counts` are the steps that it has taken, which
    only show that it moves, and the attempts that it has logged.
    """
    # A terminal's Ctrl-C reaches this process too, but the driver says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # When the driver dies, so does this process: the next driver logs what is missing.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    failure = None
    try:
        tracker.start()
        tracker.reopen()
        counts[STEPS] += 1
        while (item := connection.recv()) is not None:
            what, arguments = item
            _carry_out(what, arguments, tracker, results, counts)
            counts[STEPS] += 1
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - told to the driver; the ledger has everything
        failure = first_line(error)
    connection.send(failure)


def _carry_out(
    what: str,
    arguments: tuple[Any, ...],
    tracker: Tracker,
    results: Results,
    counts: "SynchronizedArray[int]",
) -> None:
    def artifacts(record: TrialRecord) -> Artifacts:
        counts[STEPS] += 1  # asked for each run that is to be logged
        return artifacts_of(results, record)

    if what == "sync":
        (records,) = arguments
        tracker.sync(records, artifacts)
    elif what == "log":
        tracker.log(*arguments)
        counts[LOGGED] += 1
    elif what == "interrupt":
        (records,) = arguments
        tracker.interrupt(end_of(records))
    else:
        records, front, wanted = arguments
        bring_up_to_date(tracker, results, records, front, wanted, artifacts=artifacts)


def first_line(error: Exception) -> str:
    """Return the first line of an error of MLflow's; the whole may be pages of SQL."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def artifacts_of(results: Results, record: TrialRecord) -> Artifacts:
    """Return what a trial left on the disk; nothing where that can't be read."""
    try:
        return Artifacts(results.trial_jobs(record.number), results.files(record.number))
    except CampaignError:
        return Artifacts()
