"""MLflow follows a running campaign from a process of its own: importing it takes seconds of
computing, and no trial waits for it."""

import ctypes
import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from campaign.core.errors import CampaignError
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.records.ledger import History
from campaign.records.results import Results
from campaign.schema.model import Campaign
from campaign.schema.settings import Scalar
from campaign.tracking.mlflow_tracker import Evidence, Tracker
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import ARMS, PARAMS, Space

JOIN_S = 120.0
PR_SET_PDEATHSIG = 1  # prctl(2)
Say = Callable[[str], None]


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
    """Log what is missing of `records`, and close the campaign's run: complete if all `wanted`
    trials are there."""
    tracker.start()
    tracker.sync(records, lambda record: evidence_of(results, record))
    tracker.finish(
        front,
        complete=len(records) >= wanted,
        artifacts=(results.report_path, results.fairness_path),
    )


class MlflowFollower:
    """Logs each judged trial, after what a crash left out. MLflow's failures never stop trials:
    `finish` raises them, and without that `say` hears of them at the end."""

    def __init__(
        self, tracker: Tracker, results: Results, history: History, wanted: int, say: Say
    ) -> None:
        self._tracker = tracker
        self._results = results
        self._history = history
        self._wanted = wanted
        self._say = say
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
            self._say(f"MLflow could not follow this campaign: {self._failure}")

    def asked(self, trial: int, point: Mapping[str, Any]) -> None:
        """Nothing to log yet."""

    def started(self, trial: Trial) -> None:
        """Nothing to log yet."""

    def running(self, statuses: Mapping[int, Status]) -> None:
        """Nothing to log yet."""

    def finished(self, record: TrialRecord, evaluation: Evaluation, *, settled: bool) -> None:
        self._queue.put(("log", (record, Evidence(evaluation.jobs, evaluation.files))))

    def finish(self, front: Sequence[TrialRecord]) -> None:
        """Log what is missing, mark the front and close the campaign's run; raises CampaignError
        where MLflow failed."""
        self._queue.put(("finish", (self._history.final(), list(front), self._wanted)))
        self._close()
        failure = self._failure
        self._failure = None
        if failure:
            raise CampaignError(failure)

    def _close(self) -> None:
        self._queue.put(None)
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            self._process.kill()
            self._thread.join()
            self._failure = f"it was still busy after {JOIN_S:g} s"
        self._process.join()

    def _feed(self) -> None:
        """Hand over what is to be logged, then hear how that went."""
        try:
            while (item := self._queue.get()) is not None:
                self._ours.send(item)
            self._ours.send(None)
            self._failure = self._ours.recv()
        except (OSError, EOFError):
            self._failure = _last_words(self._ours)


def _last_words(connection: Connection) -> str:
    """The account that a process gave of its end, if it could."""
    try:
        if connection.poll():
            return str(connection.recv())
    except (OSError, EOFError):
        pass
    return "its process ended"


def _serve(connection: Connection, tracker: Tracker, results: Results) -> None:
    """The process: does what it is told until it is told None; answers with its failure, or
    None."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal sends it to us too; the driver says when to end
    ctypes.CDLL(None).prctl(
        PR_SET_PDEATHSIG, signal.SIGKILL
    )  # without a driver, the next one logs what is missing
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
        tracker.sync(records, lambda record: evidence_of(results, record))
    elif what == "log":
        tracker.log(*arguments)
    else:
        bring_up_to_date(tracker, results, *arguments)


def first_line(error: Exception) -> str:
    """An error of MLflow's on one line; the whole may be pages of SQL."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def evidence_of(results: Results, record: TrialRecord) -> Evidence:
    """What a trial left on the disk."""
    try:
        return Evidence(results.trial_jobs(record.number), results.files(record.number))
    except CampaignError:
        return Evidence()
