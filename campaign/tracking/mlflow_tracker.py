"""MLflow: a run per campaign with a run per trial below it, made from the ledger's records.

Logging is idempotent. A trial's run is found by its tags (campaign, trial, attempt); one that a
crash left half-logged is completed, a complete one is left alone. MLflow takes seconds to import,
so that happens at the first use.
"""

import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from campaign.core.errors import TrackingError
from campaign.core.files import flush, lock, make_folder, sweep_drafts, write_durably
from campaign.core.trials import TrialRecord
from campaign.schema.settings import Scalar
from campaign.tracking.artifacts import ARTIFACT_BYTES, folder_of, lacks_files, size_of
from campaign.tracking.database import check_database, unflushed
from campaign.tracking.run_values import (
    Artifacts,
    digest,
    files_of,
    inside,
    metrics_of,
    milliseconds,
    parameters,
    tags_of,
)

DATABASE = "mlflow.db"
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "_MLFLOW_TELEMETRY_PRE_WARM_DATABRICKS_SDK": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
"""MLflow's environment when it is imported: nothing is sent anywhere, only errors are printed."""

_BATCH = 100  # MLflow takes no more parameters or tags at once


def store_uri(mlruns: Path, database: str = DATABASE) -> str:
    """Return MLflow's address of the store in the folder `mlruns`."""
    return f"sqlite:///{(mlruns.expanduser().resolve() / database).as_posix()}"


class Tracker:
    """Keeps one campaign's runs in the MLflow store of the folder `mlruns`.

    `campaign` names the experiment, `config` is the composed configuration (YAML), `fixed` are the
    parameters that no trial varies, by dotted setting; `manifests` are those of its images, by the
    image's hash. `identity` tells campaigns of the same name apart (default: the name). `testbed`
    is what evaluates its trials: runs that were only simulated have it in their names. Safe to use
    from one thread at a time; several processes may share a store.
    """

    def __init__(
        self,
        mlruns: Path,
        campaign: str,
        config: str,
        *,
        fixed: Mapping[str, Scalar] | None = None,
        manifests: Mapping[str, bytes] | None = None,
        identity: str = "",
        testbed: str = "libvirt",
    ) -> None:
        self._mlruns = mlruns.expanduser().resolve()
        self._campaign = campaign
        self._config = config
        self._fixed = dict(fixed or {})
        self._manifests = dict(manifests or {})
        self._identity = identity or campaign
        self._testbed = testbed

    def start(self) -> str:
        """Make what is missing of store, experiment and campaign's run; return the run's id.

        A run that is there keeps its status and its end. Raises TrackingError when the store can't
        be opened.
        """
        return self._parent

    def reopen(self) -> None:
        """Mark the campaign's run as running: trials are to follow."""
        parent = self.start()
        with locked_store(self._mlruns):
            self._client.update_run(parent, status="RUNNING")

    def interrupt(self, ended: float) -> None:
        """Close the campaign's run as killed at `ended` (Unix seconds), without a front."""
        parent = self.start()
        with locked_store(self._mlruns):
            self._client.set_terminated(parent, "KILLED", end_time=milliseconds(ended))

    def log(self, record: TrialRecord, artifacts: Artifacts | None = None) -> str:
        """Bring the run of one judged trial up to date and return its id.

        A complete run is left as it is.
        """
        self.start()
        with locked_store(self._mlruns):
            run = self._find(self._key(record)) or self._create(record)
            if run.info.status == "RUNNING":
                self._complete(run.info.run_id, record, artifacts or Artifacts())
        return str(run.info.run_id)

    def sync(
        self, records: Iterable[TrialRecord], artifacts_of: Callable[[TrialRecord], Artifacts]
    ) -> int:
        """Log those of `records` that are missing, and return their number.

        Files are logged again where a complete run has others than it was completed with: a power
        cut may have emptied them. `artifacts_of` is called for what is lacking only.
        """
        complete = self._complete_runs()
        logged = 0
        for record in records:
            run = complete.get((str(record.number), str(record.attempt)))
            if run is None:
                self.log(record, artifacts_of(record))
            elif lacks_files(run):
                with locked_store(self._mlruns):
                    files = self._all_files(record, artifacts_of(record))
                    self._log_files(run.info.run_id, files)
                    self._note_size(run.info.run_id)
            else:
                continue
            logged += 1
        self._end_abandoned()
        return logged

    def _end_abandoned(self) -> None:
        """Mark runs of trials as killed whose writer died, and that nobody will complete.

        They are of attempts that were followed by others.
        """
        with locked_store(self._mlruns):
            # Whoever writes a run holds the lock until it is complete.
            for run in list(self._search({"campaign": self._identity, "kind": "trial"})):
                if run.info.status == "RUNNING":
                    self._client.set_terminated(run.info.run_id, "KILLED")

    def finish(
        self,
        front: Iterable[TrialRecord],
        *,
        ended: float,
        complete: bool = True,
        artifacts: Iterable[Path] = (),
    ) -> None:
        """Tag the runs of the Pareto `front` (and no others) and close the campaign's run.

        It ended when its last trial did, at `ended` (Unix seconds), however much later it is
        closed. Those of the `artifacts` that exist are logged to it. `complete=False` marks the
        campaign's run as killed: it was stopped before all its trials.
        """
        parent = self.start()
        with locked_store(self._mlruns):
            self._tag_front({(str(record.number), str(record.attempt)) for record in front})
            files = {path.name: path.read_bytes() for path in artifacts if path.exists()}
            self._log_files(parent, files)
            self._client.set_terminated(
                parent, "FINISHED" if complete else "KILLED", end_time=milliseconds(ended)
            )

    @cached_property
    def _client(self) -> Any:
        return open_store(self._mlruns)

    @cached_property
    def _experiment(self) -> str:
        artifacts = self._mlruns / "artifacts" / self._campaign
        client = self._client  # opened before, since opening it takes the same lock
        with locked_store(self._mlruns):
            found = client.get_experiment_by_name(self._campaign)
            if found is None:
                return str(
                    client.create_experiment(self._campaign, artifact_location=str(artifacts))
                )
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    @cached_property
    def _parent(self) -> str:
        """The campaign's own run; a new one is running."""
        tags = {"campaign": self._identity, "kind": "campaign"}
        experiment = self._experiment  # made before, since making it takes the same lock
        with locked_store(self._mlruns):
            run = self._find(tags) or self._client.create_run(
                experiment, tags=tags, run_name=self._named(self._campaign)
            )
            run_id = str(run.info.run_id)
            manifests = {f"image/{image[:16]}.json": raw for image, raw in self._manifests.items()}
            self._log_files(run_id, {"campaign.yaml": self._config.encode(), **manifests})
            for name, value in self._own_tags().items():
                self._client.set_tag(run_id, name, value)
        return run_id

    def _own_tags(self) -> dict[str, str]:
        """Return the tags of the campaign's own run, beside those by which it is found."""
        return {"config_hash": digest(self._config.encode()), "testbed": self._testbed}

    def _key(self, record: TrialRecord) -> dict[str, str]:
        return {
            "campaign": self._identity,
            "trial": str(record.number),
            "attempt": str(record.attempt),
        }

    def _create(self, record: TrialRecord) -> Any:
        nested = {"mlflow.parentRunId": self._parent, "kind": "trial"}
        return self._client.create_run(
            self._experiment,
            start_time=milliseconds(record.started),
            tags={**nested, **self._key(record)},
            run_name=self._named(
                f"trial {record.number}"
                + (f", attempt {record.attempt}" if record.attempt > 1 else "")
            ),
        )

    def _named(self, name: str) -> str:
        kinds = {"simulation": " (simulation)", "virtual-time": " (virtual time)"}
        return name + kinds.get(self._testbed, "")

    def _complete(self, run_id: str, record: TrialRecord, artifacts: Artifacts) -> None:
        # The run's status comes last, so a run that isn't RUNNING lacks nothing.
        ended = milliseconds(record.ended)
        self._log_values(run_id, record, ended)
        self._log_files(run_id, self._all_files(record, artifacts))
        self._note_size(run_id)
        self._client.set_terminated(
            run_id, "FINISHED" if record.valid else "FAILED", end_time=ended
        )

    def _log_values(self, run_id: str, record: TrialRecord, ended: int) -> None:
        from mlflow.entities import Metric, Param, RunTag

        # One time stamp for all: MLflow then knows a repeated value as the same one.
        metrics = [Metric(name, value, ended, 0) for name, value in metrics_of(record).items()]
        params = [
            Param(name, value) for name, value in parameters(record.point, self._fixed).items()
        ]
        tags = [
            RunTag(name, value)
            for name, value in {**tags_of(record), **self._manifest_tag(record)}.items()
        ]
        for at in range(0, max(len(metrics), len(params), len(tags)), _BATCH):
            chunk = slice(at, at + _BATCH)
            self._client.log_batch(
                run_id, metrics=metrics[chunk], params=params[chunk], tags=tags[chunk]
            )

    def _log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        # Not by MLflow, which leaves them to the kernel's cache: the database would be on the disk
        # before them, and say that the run is complete.
        folder = folder_of(self._client.get_run(run_id))
        make_folder(folder)
        sweep_drafts(folder)
        for name, content in files.items():
            write_durably(folder / inside(name), content)

    def _note_size(self, run_id: str) -> None:
        size = size_of(self._client.get_run(run_id))
        self._client.set_tag(run_id, ARTIFACT_BYTES, str(size))

    def _all_files(self, record: TrialRecord, artifacts: Artifacts) -> dict[str, bytes]:
        return {**self._manifest_file(record), **files_of(record, artifacts)}

    def _manifest_file(self, record: TrialRecord) -> dict[str, bytes]:
        manifest = self._manifests.get(record.provenance.image_hash)
        return {"image/manifest.json": manifest} if manifest else {}

    def _manifest_tag(self, record: TrialRecord) -> dict[str, str]:
        file = self._manifest_file(record)
        return {"image_manifest_sha256": digest(*file.values())} if file else {}

    def _find(self, tags: Mapping[str, str]) -> Any | None:
        """Return the oldest run with these tags, and delete any others."""
        runs = list(self._search(tags))
        for surplus in runs[1:]:
            self._client.delete_run(surplus.info.run_id)
        return runs[0] if runs else None

    def _search(self, tags: Mapping[str, str]) -> Iterator[Any]:
        query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                query,
                max_results=1000,
                order_by=["attributes.created ASC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _complete_runs(self) -> dict[tuple[str, str], Any]:
        runs = self._search({"campaign": self._identity, "kind": "trial"})
        return {_trial_of(run): run for run in runs if run.info.status != "RUNNING"}

    def _tag_front(self, members: set[tuple[str, str]]) -> None:
        for run in list(self._search({"campaign": self._identity, "kind": "trial"})):
            tagged = run.data.tags.get("front") == "true"
            if _trial_of(run) in members and not tagged:
                self._client.set_tag(run.info.run_id, "front", "true")
            elif tagged and _trial_of(run) not in members:
                self._client.delete_tag(run.info.run_id, "front")


def open_store(mlruns: Path) -> Any:
    """Return an MlflowClient of the store in `mlruns`, which is made where it is missing.

    Raises TrackingError when the store can't be opened.
    """
    mlflow = _quiet_mlflow()
    with locked_store(mlruns):
        try:
            check_database(mlruns / DATABASE)
            if not (mlruns / DATABASE).exists():
                _make_database(mlruns)
            client = mlflow.MlflowClient(tracking_uri=store_uri(mlruns))
            client.search_experiments(max_results=1)
        except Exception as error:
            raise TrackingError(
                f"can't open the MLflow store {mlruns / DATABASE}",
                str(error),
                "Move the file away to start a new store; `hpc-campaign report NAME` fills "
                "it from the ledger.",
            ) from error
    return client


def _make_database(mlruns: Path) -> None:
    """Make the store's database, which appears whole or not at all.

    MLflow makes one in hundreds of steps; one where these were cut off can't be opened.
    """
    for left in mlruns.glob(f".{DATABASE}.*"):
        left.unlink()
    # Another name each time: MLflow remembers the databases that it has opened.
    draft = mlruns / f".{DATABASE}.{secrets.token_hex(4)}"
    with unflushed():
        client = _quiet_mlflow().MlflowClient(tracking_uri=store_uri(mlruns, draft.name))
        client.search_experiments(max_results=1)
    flush(draft)
    draft.replace(mlruns / DATABASE)
    flush(mlruns)


def _quiet_mlflow() -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return mlflow


@contextmanager
def locked_store(mlruns: Path) -> Iterator[None]:
    """Hold the store's lock file, from one thread once at a time; other processes wait.

    A fresh database that several processes open at once is ruined for good, and MLflow looks and
    inserts in two steps: of two processes that make the same run, or set the same tag for the first
    time, one makes a second or fails.
    """
    make_folder(mlruns)
    with lock(mlruns / ".lock"):
        yield


def _trial_of(run: Any) -> tuple[str, str]:
    return run.data.tags.get("trial", ""), run.data.tags.get("attempt", "")
