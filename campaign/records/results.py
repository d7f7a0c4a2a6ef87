"""The results folder of a campaign: ledger, composed configuration, jobs tables, logs and report.

results/<campaign>/
  ledger.jsonl      the record from which the rest is derived
  campaign.yaml     the composed and validated configuration, as last recorded in the ledger
  workload.parquet  the jobs that every trial replays, with their notes; a later group of trials
                    has its own: workload-1.parquet; so has each further instance on which trials
                    are evaluated: workload.instance=1.parquet
  images/           the manifests of the images that trials boot, by the image's name
  jobs/             one Parquet data set, a file per trial and instance
  trials/00003/     rendered configuration and logs of trial 3; on its further instances:
                    trials/00003.instance=1/
  logs/             what its processes logged, as JSON lines: driver.jsonl is the driver's, the rest
                    is of its actors, a file for each life of one (actors.hosts.log_collector)
  fairness.json     what differs between the schedulers, where several are compared
  front.json        how good the front is: what stands in the report about it, for programs
  report.html
"""

import hashlib
import shutil
from pathlib import Path

import pyarrow as pa

from campaign.core.errors import LedgerError
from campaign.core.files import (
    flush,
    make_durable,
    make_folder,
    open_regular,
    read_regular,
    storage_errors,
    write_durably,
)
from campaign.core.jobs import Workload
from campaign.core.trials import Evaluation, Replicate, TrialRecord
from campaign.images.bundles.manifest import MANIFEST, Bundle, ImageManifest
from campaign.records import dataset, kept_workload
from campaign.records.collected_logs import CollectedLogs
from campaign.records.groups import ComparableGroup


class Results:
    """The folder of one campaign."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / name
        self.ledger_path = self.folder / "ledger.jsonl"
        self.config_path = self.folder / "campaign.yaml"
        self.jobs_folder = self.folder / "jobs"
        self.trials_folder = self.folder / "trials"
        self.manifests_folder = self.folder / "images"
        self.logs_folder = self.folder / "logs"
        self.driver_log = self.logs_folder / "driver.jsonl"
        self.report_path = self.folder / "report.html"
        self.front_path = self.folder / "front.json"
        self.fairness_path = self.folder / "fairness.json"

    def keep(self, record: TrialRecord, evaluation: Evaluation, identity: str = "") -> str:
        """Put an attempt's jobs and files on the disk, in place of those of an earlier attempt.

        `identity` is the campaign's, by its ledger. Returns the SHA-256 of the file of jobs, "" if
        the attempt left none. Raises StorageError when the disk is full or can't be written.
        """
        table = dataset.path_of(self.jobs_folder, record.replicate)
        with storage_errors(self.folder):
            if evaluation.jobs is None:
                table.unlink(missing_ok=True)
            else:
                dataset.write(self.jobs_folder, self.name, record, evaluation.jobs, identity)
            _replace_folder(self.trial_folder(record.replicate), evaluation)
            return "" if evaluation.jobs is None else sha256_of(table)

    def of_trials(self) -> list[Path]:
        """Return the jobs tables and folders of trials that are there, whatever trials they name.

        Drafts of killed drivers, whose names begin with a dot, are left out.
        """
        folders = (self.jobs_folder, self.trials_folder)
        return [path for folder in folders for path in sorted(folder.glob("[!.]*"))]

    def actor_logs(self, identity: str) -> CollectedLogs:
        """Return the logs of the actors; `identity` is the campaign's, by its ledger."""
        return CollectedLogs(self.logs_folder, self.name, identity)

    def keep_manifest(self, bundle: Bundle) -> None:
        """Keep a copy of the manifest of an image that trials boot."""
        manifest = (bundle.path / MANIFEST).read_bytes()
        write_durably(self.manifests_folder / f"{bundle.manifest.name}.json", manifest)

    def keep_config(self, text: str) -> None:
        """Keep the composed configuration, in place of one that says something else."""
        try:
            known = read_regular(self.config_path).decode()
        except (OSError, ValueError):  # missing, or damaged
            known = None
        if known != text:
            write_durably(self.config_path, text)

    def manifests(self) -> dict[str, bytes]:
        """Return the manifests of the campaign's images by content hash; none in a simulation.

        Raises LedgerError for a file that is no manifest.
        """
        found = {}
        for file in sorted(self.manifests_folder.glob("*.json")):
            try:
                raw = read_regular(file)
                found[ImageManifest.model_validate_json(raw).hash] = raw
            except (OSError, ValueError) as error:
                raise LedgerError(
                    f"{file} is no manifest of an image",
                    str(error),
                    "Restore the file from a copy, or move it away.",
                ) from None
        return found

    def keep_workload(self, workload: Workload, group: int, instance: int = 0) -> str:
        """Keep the jobs that the trials of a group replay; return the SHA-256 of the file.

        Raises StorageError where the disk is full or can't be written.
        """
        content = kept_workload.content_of(workload)
        write_durably(self.workload_path(group, instance), content)
        return kept_workload.digest(content)

    def workload(self, group: ComparableGroup, instance: int = 0) -> Workload | None:
        """Return the jobs of one instance that the trials of a group replayed.

        None where none were kept, as by earlier versions of this software. Raises LedgerError where
        the file is gone, or isn't the one that was kept.
        """
        sha256 = group.sha256_of(instance)
        if not sha256:
            return None
        return kept_workload.read(self.workload_path(group.number, instance), sha256)

    def workload_path(self, group: int, instance: int = 0) -> Path:
        """Return the path of a workload of a group's trials."""
        of_group = f"-{group}" if group else ""
        of_instance = f".instance={instance}" if instance else ""
        return self.folder / f"workload{of_group}{of_instance}.parquet"

    def trial_folder(self, replicate: Replicate) -> Path:
        """Return the folder of a replicate's logs and rendered configuration."""
        of_instance = f".instance={replicate.instance}" if replicate.instance else ""
        return self.trials_folder / f"{replicate.trial:05d}{of_instance}"

    def jobs(self) -> pa.Table:
        """Return the jobs of all trials, with the columns of `dataset.DATASET_SCHEMA`."""
        return dataset.read(self.jobs_folder)

    def trial_jobs(self, number: int, instance: int = 0) -> pa.Table | None:
        """Return the jobs of one trial on one instance; None where it left none."""
        return dataset.read_replicate(self.jobs_folder, Replicate(number, instance))

    def files(self, number: int, instance: int = 0) -> dict[str, bytes]:
        """Return the content of a trial's files on one instance by relative path."""
        folder = self.trial_folder(Replicate(number, instance))
        return {
            str(f.relative_to(folder)): f.read_bytes()
            for f in sorted(folder.rglob("*"))
            if f.is_file()
        }


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace_folder(folder: Path, evaluation: Evaluation) -> None:
    fresh = folder.with_name(f".{folder.name}.new")
    if fresh.exists():  # a driver was killed while it wrote this
        shutil.rmtree(fresh)
    if evaluation.files:
        make_folder(folder.parent)
    for name, content in evaluation.files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if fresh.exists():
        # Before the earlier attempt's go: whatever a power cut leaves is whole.
        make_durable(fresh)
    if folder.exists():
        shutil.rmtree(folder)
    if fresh.exists():
        fresh.rename(folder)
        flush(folder.parent)
