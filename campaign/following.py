"""MLflow follows a running campaign from a thread of its own: importing it takes seconds, and no trial waits for it."""

import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from campaign.compose import Composed
from campaign.dump import campaign_yaml
from campaign.errors import CampaignError
from campaign.ledger import History
from campaign.results import Results
from campaign.testbed import Status
from campaign.tracking import Evidence, Tracker
from campaign.trials import Evaluation, Trial, TrialRecord
from search.space import PARAMS

JOIN_S = 120.0
Say = Callable[[str], None]


def tracker_for(composed: Composed, results: Results, history: History) -> Tracker:
    """The tracker of a begun campaign: every scheduler parameter is logged, those at their defaults too."""
    defaults = composed.scheduler.Params().model_dump()
    return Tracker(
        Path(composed.campaign.output.mlruns),
        composed.campaign.name,
        campaign_yaml(composed.campaign),
        fixed={f"{PARAMS}.{name}": value for name, value in defaults.items()} | composed.space.fixed,
        manifest=results.manifest_path.read_bytes(),
        identity=history.identity,
    )


class MlflowFollower:
    """Logs each judged trial, after what a crash left out. MLflow's failures never stop trials: `say` hears of them
    at the end."""

    def __init__(self, composed: Composed, results: Results, history: History, say: Say) -> None:
        self._composed, self._results, self._history, self._say = composed, results, history, say
        self._earlier = history.final()
        self._queue: queue.Queue[tuple[TrialRecord, Evidence] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._follow, name="mlflow", daemon=True)
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._queue.put(None)
        self._thread.join(JOIN_S)
        if self._failure is not None:
            self._say(f"MLflow could not follow this campaign: {first_line(self._failure)}")
        elif self._thread.is_alive():
            self._say(f"MLflow is still busy after {JOIN_S:g} s; the end of this run may be missing there")

    def asked(self, trial: int, point: Mapping[str, Any]) -> None:
        """Nothing to log yet."""

    def started(self, trial: Trial) -> None:
        """Nothing to log yet."""

    def running(self, statuses: Mapping[int, Status]) -> None:
        """Nothing to log yet."""

    def finished(self, record: TrialRecord, evaluation: Evaluation, *, settled: bool) -> None:
        self._queue.put((record, Evidence(evaluation.jobs, evaluation.files)))

    def _follow(self) -> None:
        try:
            tracker = tracker_for(self._composed, self._results, self._history)
            tracker.start()
            tracker.sync(self._earlier, lambda record: evidence_of(self._results, record))
            while (item := self._queue.get()) is not None:
                tracker.log(*item)
        except Exception as error:  # noqa: BLE001 - told at the end; the ledger has everything
            self._failure = error


def first_line(error: Exception) -> str:
    """An error of MLflow's on one line; the whole may be pages of SQL."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def evidence_of(results: Results, record: TrialRecord) -> Evidence:
    """What a trial left on the disk."""
    try:
        return Evidence(results.trial_jobs(record.number), results.files(record.number))
    except CampaignError:
        return Evidence()
