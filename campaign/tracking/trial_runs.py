"""The runs of a campaign's trials in MLflow's store: found, added whole, tagged.

`ClientRuns` does it by MLflow's client, as any program may: 60 ms of CPU time a trial, in a dozen
transactions. `BulkRuns` writes rows into the store's SQLite database instead, as many trials at
once as there are, in one transaction: 2 ms a trial. It is used where the database has exactly the
columns that it knows (`campaign.tracking.tables`), so another version of MLflow is logged to by its
client. Both leave the same rows, which a test holds.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from campaign.tracking import tables
from campaign.tracking.artifacts import ARTIFACT_BYTES, folder_of, keep_files
from campaign.tracking.store import DATABASE, transaction

BATCH = 100  # MLflow's client takes no more parameters or tags at once
Attempt = tuple[str, str]
"""A trial's number and that of its attempt, as tags have them."""
Tags = Mapping[str, Mapping[str, str | None]]
"""Tags to set by the run's id; those that are None are removed."""


class MetricPoint(NamedTuple):
    """A value of a metric at a step; `at` is in Unix milliseconds."""

    name: str
    value: float
    at: int
    step: int


@dataclass(frozen=True)
class LoggedTrial:
    """The run of an attempt that is in the store; `noted` is its tag ARTIFACT_BYTES."""

    run_id: str
    attempt: Attempt
    status: str
    artifact_uri: str
    noted: str | None
    on_front: bool


@dataclass(frozen=True)
class WholeRun:
    """All that the run of an ended attempt is to have; times are Unix milliseconds."""

    attempt: Attempt
    name: str
    status: str
    started: int
    ended: int
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)


class RunPlace(NamedTuple):
    """Where trials' runs belong: the store's folder, the experiment, and the campaign's own run.

    `location` is the experiment's folder of files, relative to the store's; `dataset` is the id of
    the data set that the trials ran on, "" if none is logged.
    """

    mlruns: Path
    experiment: str
    location: str
    campaign: str
    parent: str
    dataset: Any = None


class TrialRuns(Protocol):
    """What the tracker asks of either way to the store; the caller holds the store's lock."""

    def found(self) -> list[LoggedTrial]:
        """Return the runs of the campaign's trials, the oldest first."""

    def add(self, runs: Sequence[WholeRun]) -> None:
        """Add runs, their files first; those that are there and have ended stay as they are."""

    def tag(self, tags: Tags) -> None:
        """Set and remove tags."""

    def plot(self, run_id: str, points: Sequence[MetricPoint]) -> None:
        """Have a run's metrics be these points, as far as the store lets them be replaced."""


class ClientRuns:
    """The runs by MLflow's client."""

    def __init__(self, client: Any, place: RunPlace) -> None:
        self._client = client
        self._place = place

    def found(self) -> list[LoggedTrial]:
        """Return the runs of the campaign's trials, the oldest first."""
        wanted = {"campaign": self._place.campaign, "kind": "trial"}
        return [_trial_run(run) for run in search(self._client, self._place.experiment, wanted)]

    def add(self, runs: Sequence[WholeRun]) -> None:
        """Add runs; one that a killed writer left half is completed."""
        for run in runs:
            self._add(run)

    def _add(self, run: WholeRun) -> None:
        from mlflow.entities import Metric, Param, RunTag

        there = self._half(run)
        if there.info.status != "RUNNING":
            return
        run_id = there.info.run_id
        size = keep_files(folder_of(self._place.mlruns, there.info.artifact_uri), run.files)
        # One time stamp for all: MLflow then knows a repeated value as the same one.
        metrics = [Metric(name, value, run.ended, 0) for name, value in run.metrics.items()]
        params = [Param(name, value) for name, value in run.params.items()]
        marked = {**run.tags, ARTIFACT_BYTES: str(size)}
        tags = [RunTag(name, value) for name, value in marked.items()]
        for at in range(0, max(len(metrics), len(params), len(tags)), BATCH):
            chunk = slice(at, at + BATCH)
            self._client.log_batch(
                run_id, metrics=metrics[chunk], params=params[chunk], tags=tags[chunk]
            )
        if self._place.dataset is not None:
            self._client.log_inputs(run_id, [self._place.dataset])
        # The run's status comes last, so a run that isn't RUNNING lacks nothing.
        self._client.set_terminated(run_id, run.status, end_time=run.ended)

    def _half(self, run: WholeRun) -> Any:
        """Return the oldest run of an attempt, and delete any others; a new one is running."""
        trial, attempt = run.attempt
        key = {"campaign": self._place.campaign, "trial": trial, "attempt": attempt}
        there = list(search(self._client, self._place.experiment, key))
        for surplus in there[1:]:
            self._client.delete_run(surplus.info.run_id)
        if there:
            return there[0]
        return self._client.create_run(
            self._place.experiment,
            start_time=run.started,
            tags={**_links(self._place), **key},
            run_name=run.name,
        )

    def tag(self, tags: Tags) -> None:
        """Set and remove tags, one at a time."""
        for run_id, values in tags.items():
            for name, value in values.items():
                if value is None:
                    self._client.delete_tag(run_id, name)
                else:
                    self._client.set_tag(run_id, name, value)

    def plot(self, run_id: str, points: Sequence[MetricPoint]) -> None:
        """Add the points of steps that come after the last one: none can be replaced."""
        from mlflow.entities import Metric

        last = {
            name: max(
                (one.step for one in self._client.get_metric_history(run_id, name)), default=-1
            )
            for name in {one.name for one in points}
        }
        new = [Metric(*one) for one in points if one.step > last[one.name]]
        for at in range(0, len(new), BATCH):
            self._client.log_batch(run_id, metrics=new[at : at + BATCH])


class BulkRuns:
    """The runs by rows of the store's database."""

    def __init__(self, place: RunPlace, halves: TrialRuns) -> None:
        """Keep the place; `halves` completes runs that a killed writer left half."""
        self._place = place
        self._halves = halves
        self._database = place.mlruns / DATABASE
        self._known: dict[Attempt, LoggedTrial] | None = None

    def found(self) -> list[LoggedTrial]:
        """Return the runs of the campaign's trials, the oldest first."""
        with transaction(self._database) as store:
            runs = [LoggedTrial(*row) for row in tables.trials(store, self._place)]
        self._known = {one.attempt: one for one in reversed(runs)}
        return runs

    def add(self, runs: Sequence[WholeRun]) -> None:
        """Add runs, all or none of them."""
        if self._known is None:
            self.found()
        known = self._known or {}
        self._halves.add([one for one in runs if _is_half(known.get(one.attempt))])
        fresh = {run.attempt: run for run in runs if run.attempt not in known}
        if not fresh:
            return
        ids = {attempt: self._run_id(attempt) for attempt in fresh}
        with transaction(self._database) as store:
            there = tables.stages(store, ids.values())
        rows = []
        for attempt, run in fresh.items():
            run_id = ids[attempt]
            if there.get(run_id) == "active":  # another process has logged it meanwhile
                continue
            run_id = uuid.uuid4().hex if run_id in there else run_id  # the user deleted it
            uri = f"{self._place.location}/{run_id}/artifacts"
            size = keep_files(folder_of(self._place.mlruns, uri), run.files)
            marked = {**_links(self._place), **self._key(run), **run.tags}
            tags = {**marked, ARTIFACT_BYTES: str(size), "mlflow.runName": run.name}
            rows.append(tables.RunRows(run_id, uri, run, tags))
            known[attempt] = LoggedTrial(
                run_id, attempt, run.status, uri, str(size), on_front=False
            )
        with transaction(self._database) as store:
            tables.insert(store, self._place, rows)

    def _run_id(self, attempt: Attempt) -> str:
        # The same one if a killed driver's successor logs the attempt again: in the same folder.
        words = (self._place.experiment, self._place.campaign, *attempt)
        return uuid.uuid5(uuid.NAMESPACE_OID, "/".join(words)).hex

    def _key(self, run: WholeRun) -> dict[str, str]:
        trial, attempt = run.attempt
        return {"campaign": self._place.campaign, "trial": trial, "attempt": attempt}

    def tag(self, tags: Tags) -> None:
        """Set and remove tags, all or none of them."""
        if tags:
            with transaction(self._database) as store:
                tables.tag(store, tags)

    def plot(self, run_id: str, points: Sequence[MetricPoint]) -> None:
        """Put the points in the place of those that the metrics have."""
        if points:
            with transaction(self._database) as store:
                tables.replace_metrics(store, run_id, points)


def search(client: Any, experiment: str, tags: Mapping[str, str]) -> Iterator[Any]:
    """Yield an experiment's runs with these tags, the oldest first."""
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    token = None
    while True:
        page = client.search_runs(
            [experiment],
            query,
            max_results=1000,
            order_by=["attributes.created ASC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def _trial_run(run: Any) -> LoggedTrial:
    tags = run.data.tags
    return LoggedTrial(
        run.info.run_id,
        (tags.get("trial", ""), tags.get("attempt", "")),
        run.info.status,
        run.info.artifact_uri,
        tags.get(ARTIFACT_BYTES),
        on_front=tags.get("front") == "true",
    )


def _links(place: RunPlace) -> dict[str, str]:
    return {"mlflow.parentRunId": place.parent, "kind": "trial"}


def _is_half(run: LoggedTrial | None) -> bool:
    return run is not None and run.status == "RUNNING"
