"""Keeps the jobs that a benchmark's trials have measured, so that none is measured twice."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.errors import BenchmarkError
from campaign.core.files import make_folder, writing_atomically
from campaign.core.jobs import JOBS_SCHEMA

LEAD = b"lead_s"
"""The name of `campaign.core.provenance.Provenance.lead_s` in a file's metadata."""


class KeptJobs:
    """The jobs tables (JOBS_SCHEMA) in `folder`, by what the trial was."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, identity: str) -> bool:
        return self._path(identity).exists()

    def read(self, identity: str) -> pa.Table:
        """Return the jobs of a trial; raise BenchmarkError where they can't be read."""
        path = self._path(identity)
        try:
            with path.open("rb") as file:
                return pq.read_table(file).select(JOBS_SCHEMA.names).cast(JOBS_SCHEMA)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise BenchmarkError(
                f"can't read the jobs of a measured trial from {path}",
                str(error),
                "Remove the file: the trial is measured again.",
            ) from error

    def lead_s(self, identity: str) -> float | None:
        """Return the lead of a trial that can be read, if it is known."""
        found = (pq.read_schema(self._path(identity)).metadata or {}).get(LEAD)
        return None if found is None else float(found)

    def write(self, identity: str, jobs: pa.Table, lead_s: float | None = None) -> None:
        """Keep the jobs of a trial, and its lead. The file appears whole or not at all."""
        make_folder(self._folder)
        if lead_s is not None:
            jobs = jobs.replace_schema_metadata({LEAD: str(lead_s)})
        with writing_atomically(self._path(identity)) as file:
            pq.write_table(jobs, file, compression="zstd")

    def _path(self, identity: str) -> Path:
        return self._folder / f"{identity[:32]}.parquet"
