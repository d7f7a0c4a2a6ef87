"""A process of its own that logs a running campaign to MLflow.

Importing MLflow and making a store take 2 to 4 s of CPU time. In the driver, that would be time in
which no trial is started or judged, and a single `Tracker.sync` at the end would leave MLflow's
pages empty until then. Trials are logged several at once, as they come. MLflow's own asynchronous
logging runs in threads of the process that has imported it, so it would not help.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from typing import TYPE_CHECKING, Any, Self

from campaign.core.errors import CampaignError, TrackingError
from campaign.core.log import PHASE
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.records.history import Asked, History
from campaign.records.results import Results
from campaign.tracking.mlflow_tracker import Tracker
from campaign.tracking.run_values import Artifacts

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray

STALLED_S = 120.0
"""A store that logs nothing for so long is waited for no more: a run takes a second at most."""
POLL_S = 0.2
TOLD_FIRST_S = 1.0
TOLD_EVERY_S = 10.0
"""How soon and how often the log says how many runs are left, while they are waited for."""
GATHER_S = 0.5
GATHER_TRIALS = 100
GATHER_BYTES = 8 * 1024 * 1024
"""How long, how many, and up to which size trials are gathered, to be logged in one go."""
PLOT_EVERY_S = 10.0
"""How often the metrics of the campaign's own run are brought up to date while it runs."""
STEPS = 0
LOGGED = 1
"""The places of the counts that the process keeps."""
PR_SET_PDEATHSIG = 1  # prctl(2)
START: SpawnContext | ForkContext = multiprocessing.get_context("spawn")
"""How the process is started: anew, since a fork would share the locks of the driver's threads."""
_log = logging.getLogger(__name__)


def bring_up_to_date(
    tracker: Tracker,
    results: Results,
    records: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    wanted: int,
    *,
    artifacts: Callable[[TrialRecord], Artifacts] | None = None,
    running: bool = False,
) -> None:
    """Log what is missing of `records`, tag the `front`, and close the campaign's run.

    The run is complete if all `wanted` trials are there. `artifacts` gives what a trial left;
    without it, that is what is on the disk. While the campaign is `running`, its driver alone says
    what is on the front, and closes its run.
    """
    left = artifacts or (lambda record: artifacts_of(results, record))
    tracker.start()
    tracker.sync(records, left)
    tracker.plot(comparable(records))
    if running:
        return
    tracker.finish(
        front,
        ended=end_of(records),
        complete=len(records) >= wanted,
        artifacts=(results.report_path, results.fairness_path),
        artifacts_of=left,
    )


def comparable(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials of the newest group: those that may stand in one front."""
    newest = max((record.group for record in records), default=0)
    return [record for record in records if record.group == newest]


def end_of(records: Sequence[TrialRecord]) -> float:
    """Return when the last of the trials ended (Unix seconds); now, if there are none."""
    return max((record.ended for record in records), default=time.time())


class MlflowWorker:
    """A listener that logs each judged trial to MLflow, after what a crash left out.

    MLflow's failures never stop trials: `finish` raises them, and without a call of it they are
    logged when the worker ends. A worker that ends without `finish` closes the campaign's run as
    killed; what isn't logged by then is left to the next start, or to `hpc-campaign report`.
    `wanted` is asked at the end how many trials the campaign comes to: it may have ended early.
    """

    def __init__(
        self, tracker: Tracker, results: Results, history: History, wanted: Callable[[], int]
    ) -> None:
        self._tracker = tracker
        self._results = results
        self._history = history
        self._wanted = wanted
        self._queue: queue.Queue[tuple[str, tuple[Any, ...]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._feed, name="mlflow", daemon=True)
        self._failure: str | None = None
        self._asked = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._tracker.driving())
            self._start()
            self._driving = stack.pop_all()
        self._queue.put(("sync", (self._history.final(),)))
        self._thread.start()
        return self

    def _start(self) -> None:
        self._ours, theirs = START.Pipe()
        self._counts = START.Array("q", 2)
        self._process = START.Process(
            target=_serve,
            args=(theirs, self._tracker, self._results, self._counts),
            daemon=True,
        )
        # A terminal's Ctrl-C reaches the process too, also before it can say that it minds none.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        with self._driving:
            self._end(kind)

    def _end(self, kind: type[BaseException] | None) -> None:
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
        self._queue.put(("finish", (self._history.final(), list(front), self._wanted())))
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
                _log.info("MLflow: %s left to log", _runs(left), extra={"event": PHASE})
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
        log = _RunLog(tracker, results, counts)
        for item in _items(connection):
            log.carry_out(*item)
            counts[STEPS] += 1
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - told to the driver; the ledger has everything
        failure = first_line(error)
    connection.send(failure)


def _items(connection: Connection) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield what comes until None does; trials that come together are one item, "log"."""
    while True:
        trials: list[tuple[TrialRecord, Artifacts]] = []
        size = 0
        until = time.monotonic() + GATHER_S
        item = None
        while len(trials) < GATHER_TRIALS and size < GATHER_BYTES:
            if trials and not connection.poll(max(0.0, until - time.monotonic())):
                break
            raw = connection.recv_bytes()
            size += len(raw)
            item = pickle.loads(raw)  # noqa: S301 - our driver's
            if item is None or item[0] != "log":
                break
            trials.append(item[1])
        if trials:
            yield "log", (trials,)
        if item is None:
            return
        if item[0] != "log":
            yield item


class _RunLog:
    """Carries out in the process what the driver wants logged."""

    def __init__(
        self, tracker: Tracker, results: Results, counts: "SynchronizedArray[int]"
    ) -> None:
        self._tracker = tracker
        self._results = results
        self._counts = counts
        self._records: dict[int, TrialRecord] = {}
        self._plotted = time.monotonic()

    def carry_out(self, what: str, arguments: tuple[Any, ...]) -> None:
        """Do one thing that the driver asked for."""
        if what == "sync":
            (records,) = arguments
            self._note(records)
            self._tracker.sync(records, self._artifacts)
        elif what == "log":
            (trials,) = arguments
            self._note([record for record, _ in trials])
            self._tracker.log_all(self._counted(trials))
            self._plot()
        elif what == "interrupt":
            (records,) = arguments
            self._tracker.plot(comparable(records))
            self._tracker.interrupt(end_of(records))
        else:
            records, front, wanted = arguments
            bring_up_to_date(
                self._tracker, self._results, records, front, wanted, artifacts=self._artifacts
            )

    def _artifacts(self, record: TrialRecord) -> Artifacts:
        self._counts[STEPS] += 1  # asked for each run that is to be logged
        return artifacts_of(self._results, record)

    def _counted(
        self, trials: Sequence[tuple[TrialRecord, Artifacts]]
    ) -> Iterator[tuple[TrialRecord, Artifacts]]:
        for trial in trials:
            yield trial
            self._counts[STEPS] += 1
            self._counts[LOGGED] += 1

    def _note(self, records: Sequence[TrialRecord]) -> None:
        self._records.update({record.number: record for record in records})

    def _plot(self) -> None:
        if time.monotonic() - self._plotted >= PLOT_EVERY_S:
            self._tracker.plot(comparable([self._records[one] for one in sorted(self._records)]))
            self._plotted = time.monotonic()


def first_line(error: Exception) -> str:
    """Return the first line of an error of MLflow's; the whole may be pages of SQL."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def artifacts_of(results: Results, record: TrialRecord) -> Artifacts:
    """Return what a trial left on the disk; nothing where that can't be read."""
    try:
        return Artifacts(results.trial_jobs(record.number), results.files(record.number))
    except CampaignError:
        return Artifacts()
