"""MLflow: a run per campaign with a run per trial below it, made from the ledger's records.

Logging is idempotent. A trial's run is found by its tags (campaign, trial, attempt); one that a
crash left half-logged is completed, a complete one is left alone. MLflow takes seconds to import,
so that happens at the first use.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from campaign.core.trials import TrialRecord
from campaign.schema.settings import Scalar
from campaign.tracking import tables
from campaign.tracking.artifacts import ARTIFACT_BYTES, folder_of, keep_files, lacks_files
from campaign.tracking.campaign_values import points_of, view_state
from campaign.tracking.drivers import driving, end_abandoned
from campaign.tracking.run_values import (
    Artifacts,
    digest,
    fidelity_of,
    files_of,
    metrics_of,
    milliseconds,
    named,
    parameters,
    tags_of,
)
from campaign.tracking.store import (
    DATABASE,
    VIEW_TAG,
    artifact_location,
    locked_store,
    make_relative,
    open_store,
)
from campaign.tracking.tracked import TrackedCampaign
from campaign.tracking.trial_runs import (
    Attempt,
    BulkRuns,
    ClientRuns,
    LoggedTrial,
    RunPlace,
    TrialRuns,
    WholeRun,
    search,
)

Logged = tuple[TrialRecord, Artifacts]
_AT_ONCE = 100  # trials whose files are in memory together


class Tracker:
    """Keeps one campaign's runs in the MLflow store of the folder `mlruns`.

    `campaign` names the experiment, `config` is the composed configuration (YAML), `fixed` are the
    parameters that no trial varies, by dotted setting; `manifests` are those of its images, by the
    image's hash. `identity` tells campaigns of the same name apart (default: the name). `testbed`
    is what evaluates its trials: runs that were only simulated have it in their names, and files
    only where they are the baseline's or of the front. `wanted` is what else there is to know of
    the campaign. Safe to use from one thread at a time;
    several processes may share a store.
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
        wanted: TrackedCampaign | None = None,
    ) -> None:
        self._mlruns = mlruns.expanduser().resolve()
        self._campaign = campaign
        self._config = config
        self._fixed = dict(fixed or {})
        self._manifests = dict(manifests or {})
        self._identity = identity or campaign
        self._testbed = testbed
        self._wanted = wanted or TrackedCampaign()

    def start(self) -> str:
        """Make what is missing of store, experiment and campaign's run; return the run's id.

        A run that is there keeps its status and its end. Raises TrackingError when the store can't
        be opened.
        """
        return self._parent

    def driving(self) -> AbstractContextManager[None]:
        """Return what shows other users of the store, while inside, that the driver lives."""
        return driving(self._mlruns, self._identity)

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

    def log(self, record: TrialRecord, artifacts: Artifacts | None = None) -> None:
        """Log the run of one judged trial; a complete one is left as it is."""
        self.log_all([(record, artifacts or Artifacts())])

    def log_all(self, trials: Iterable[Logged]) -> None:
        """Log the runs of judged trials; those that are complete are left as they are."""
        runs = self._runs
        remaining = iter(trials)
        while some := list(islice(remaining, _AT_ONCE)):
            whole = [self._whole(record, artifacts) for record, artifacts in some]
            with locked_store(self._mlruns):
                runs.add(whole)

    def sync(
        self, records: Iterable[TrialRecord], artifacts_of: Callable[[TrialRecord], Artifacts]
    ) -> int:
        """Log those of `records` that are missing, and return their number.

        Files are logged again where a complete run has others than it was completed with: a power
        cut may have emptied them. `artifacts_of` is called for what is lacking only.
        """
        runs = self._runs
        with locked_store(self._mlruns):
            there = runs.found()
        complete = {run.attempt: run for run in reversed(there) if run.status != "RUNNING"}
        missing = []
        damaged = 0
        for record in records:
            run = complete.get(attempt_of(record))
            if run is None:
                missing.append(record)
            elif lacks_files(self._folder(run), run.noted):
                damaged += 1
                self._log_files_again(run, record, artifacts_of)
        self.log_all((record, artifacts_of(record)) for record in missing)
        if any(run.status == "RUNNING" for run in there):
            self._end_abandoned()
        return len(missing) + damaged

    def _log_files_again(
        self,
        run: LoggedTrial,
        record: TrialRecord,
        artifacts_of: Callable[[TrialRecord], Artifacts],
    ) -> None:
        files = self._files(record, artifacts_of(record), front=run.on_front)
        with locked_store(self._mlruns):
            size = keep_files(self._folder(run), files)
            self._runs.tag({run.run_id: {ARTIFACT_BYTES: str(size)}})

    def _end_abandoned(self) -> None:
        """Mark runs of trials as killed whose writer died, and that nobody will complete.

        They are of attempts that were followed by others. When they ended nobody knows: no time
        passes for them.
        """
        with locked_store(self._mlruns):
            # Whoever writes a run holds the lock until it is complete.
            for run in self._runs.found():
                if run.status == "RUNNING":
                    begun = self._client.get_run(run.run_id).info.start_time
                    self._client.set_terminated(run.run_id, "KILLED", end_time=begun)

    def plot(self, records: Sequence[TrialRecord]) -> None:
        """Bring the metrics of the campaign's run up to date: how the front of `records` grew."""
        wanted = self._wanted
        points = points_of(records, wanted.objectives, wanted.constraints)
        runs = self._runs
        with locked_store(self._mlruns):
            runs.plot(self._parent, points)

    def finish(
        self,
        front: Iterable[TrialRecord],
        *,
        ended: float,
        complete: bool = True,
        artifacts: Iterable[Path] = (),
        artifacts_of: Callable[[TrialRecord], Artifacts] | None = None,
    ) -> None:
        """Tag the runs of the Pareto `front` (and no others) and close the campaign's run.

        It ended when its last trial did, at `ended` (Unix seconds), however much later it is
        closed. Those of the `artifacts` that exist are logged to it. `complete=False` marks the
        campaign's run as killed: it was stopped before all its trials. `artifacts_of` gives what a
        trial left, for members of the front that have no files yet.
        """
        parent = self.start()
        runs = self._runs
        with locked_store(self._mlruns):
            self._tag_front(runs, {attempt_of(one): one for one in front}, artifacts_of)
            self._log_own_files(
                {path.name: path.read_bytes() for path in artifacts if path.exists()}
            )
            self._client.set_terminated(
                parent, "FINISHED" if complete else "KILLED", end_time=milliseconds(ended)
            )

    def _tag_front(
        self,
        runs: TrialRuns,
        members: Mapping[Attempt, TrialRecord],
        artifacts_of: Callable[[TrialRecord], Artifacts] | None,
    ) -> None:
        changes: dict[str, dict[str, str | None]] = {}
        for run in runs.found():
            record = members.get(run.attempt)
            if (record is not None) == run.on_front:
                continue
            changes[run.run_id] = {"front": "true" if record else None}
            if record and artifacts_of and self._spares_files(record):
                files = self._files(record, artifacts_of(record), front=True)
                size = keep_files(self._folder(run), files)
                changes[run.run_id][ARTIFACT_BYTES] = str(size)
        runs.tag(changes)

    @cached_property
    def _client(self) -> Any:
        client = open_store(self._mlruns)
        with locked_store(self._mlruns):
            end_abandoned(self._mlruns)
        return client

    @cached_property
    def _runs(self) -> TrialRuns:
        """The way to the runs of trials: by rows where MLflow's tables are known.

        To be had without the store's lock, which it takes.
        """
        parent = self._parent
        place = RunPlace(
            self._mlruns,
            self._experiment,
            artifact_location(self._campaign),
            self._identity,
            parent,
            self._dataset,
        )
        by_client = ClientRuns(self._client, place)
        if not tables.are_known(self._mlruns / DATABASE):
            return by_client
        return BulkRuns(place, by_client)

    @cached_property
    def _dataset(self) -> Any | None:
        workload = self._wanted.workload
        return None if workload is None else workload.dataset

    @cached_property
    def _experiment(self) -> str:
        client = self._client  # opened before, since opening it takes the same lock
        with locked_store(self._mlruns):
            found = client.get_experiment_by_name(self._campaign)
            if found is None:
                place = self._mlruns / artifact_location(self._campaign)
                made = client.create_experiment(self._campaign, artifact_location=str(place))
                make_relative(self._mlruns / DATABASE)
                return str(made)
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    @cached_property
    def _parent(self) -> str:
        """The campaign's own run; a new one is running."""
        experiment = self._experiment  # made before, since making it takes the same lock
        began = self._wanted.began
        with locked_store(self._mlruns):
            run = self._find_own() or self._client.create_run(
                experiment,
                start_time=None if began is None else milliseconds(began),
                tags=self._own_key(),
                run_name=named(self._campaign, self._testbed),
            )
            self._show_in_pages(experiment)
            run_id = str(run.info.run_id)
            self._keep(run.info.artifact_uri, self._own_files())
            if self._dataset is not None:
                self._client.log_inputs(run_id, [self._dataset])
            for name, value in self._own_tags().items():
                if run.data.tags.get(name) != value:
                    self._client.set_tag(run_id, name, value)
        return run_id

    def _own_key(self) -> dict[str, str]:
        return {"campaign": self._identity, "kind": "campaign"}

    def _find_own(self) -> Any | None:
        """Return the oldest run of the campaign itself, and delete any others."""
        runs = list(search(self._client, self._experiment, self._own_key()))
        for surplus in runs[1:]:
            self._client.delete_run(surplus.info.run_id)
        return runs[0] if runs else None

    def _show_in_pages(self, experiment: str) -> None:
        """Have MLflow's pages open the experiment as a sorted table of what matters."""
        wanted = self._wanted
        if not wanted.objectives:
            return
        view = view_state(wanted.objectives, wanted.searched, simulated=self._is_simulation)
        if self._client.get_experiment(experiment).tags.get(VIEW_TAG) != view:
            self._client.set_experiment_tag(experiment, VIEW_TAG, view)

    def _own_tags(self) -> dict[str, str]:
        """Return the tags of the campaign's own run, beside those by which it is found."""
        return {
            "config_hash": digest(self._config.encode()),
            "testbed": self._testbed,
            "fidelity": fidelity_of(self._testbed),
        }

    def _own_files(self) -> dict[str, bytes]:
        fixed = json.dumps(self._fixed, indent=1, default=str).encode()
        manifests = {f"image/{image[:16]}.json": raw for image, raw in self._manifests.items()}
        return {
            "campaign.yaml": self._config.encode(),
            "fixed_parameters.json": fixed,
            **manifests,
        }

    def _log_own_files(self, files: Mapping[str, bytes]) -> None:
        self._keep(self._client.get_run(self._parent).info.artifact_uri, files)

    def _keep(self, uri: str, files: Mapping[str, bytes]) -> None:
        keep_files(folder_of(self._mlruns, uri), files)

    def _folder(self, run: LoggedTrial) -> Path:
        return folder_of(self._mlruns, run.artifact_uri)

    @property
    def _is_simulation(self) -> bool:
        return self._testbed == "simulation"

    def _spares_files(self, record: TrialRecord) -> bool:
        """Return whether a trial's run has files only while it is on the front.

        Simulations are many and cheap; the files of all of them are in the results.
        """
        return self._is_simulation and not record.baseline

    def _whole(self, record: TrialRecord, artifacts: Artifacts) -> WholeRun:
        trial, attempt = attempt_of(record)
        again = f", attempt {attempt}" if record.attempt > 1 else ""
        return WholeRun(
            (trial, attempt),
            named(f"trial {trial}{again}", self._testbed),
            "FINISHED" if record.valid else "FAILED",
            milliseconds(record.started),
            milliseconds(record.ended),
            params=parameters(record.point),
            metrics=metrics_of(record),
            tags={
                **tags_of(record),
                "fidelity": fidelity_of(self._testbed, record.provenance.acceleration),
                **self._manifest_tag(record),
            },
            files=self._files(record, artifacts, front=False),
        )

    def _files(self, record: TrialRecord, artifacts: Artifacts, *, front: bool) -> dict[str, bytes]:
        if self._spares_files(record) and not front:
            return {}
        return {**self._manifest_file(record), **files_of(record, artifacts)}

    def _manifest_file(self, record: TrialRecord) -> dict[str, bytes]:
        manifest = self._manifests.get(record.provenance.image_hash)
        return {"image/manifest.json": manifest} if manifest else {}

    def _manifest_tag(self, record: TrialRecord) -> dict[str, str]:
        file = self._manifest_file(record)
        return {"image_manifest_sha256": digest(*file.values())} if file else {}


def attempt_of(record: TrialRecord) -> Attempt:
    """Return what tells an attempt's run from others of its campaign."""
    return str(record.number), str(record.attempt)
