"""Keeps the jobs that a benchmark's trials have measured, so that none is measured twice."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.errors import BenchmarkError
from campaign.core.files import make_folder, writing_atomically
from campaign.core.jobs import JOBS_SCHEMA

LEAD = b"lead_s"
CLOCK = b"clock_s"
"""The names of these facts of `campaign.core.provenance.Provenance` in a file's metadata."""


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
        return self._noted(identity, LEAD)

    def clock_s(self, identity: str) -> float | None:
        """Return what the clock of such a trial showed when its workload began, if it is known."""
        return self._noted(identity, CLOCK)

    def write(
        self,
        identity: str,
        jobs: pa.Table,
        lead_s: float | None = None,
        clock_s: float | None = None,
    ) -> None:
        """Keep a trial's jobs, its lead and clock. The file appears whole or not at all."""
        make_folder(self._folder)
        noted = {LEAD: lead_s, CLOCK: clock_s}
        known = {name: str(value) for name, value in noted.items() if value is not None}
        if known:
            jobs = jobs.replace_schema_metadata(known)
        with writing_atomically(self._path(identity)) as file:
            pq.write_table(jobs, file, compression="zstd")

    def _noted(self, identity: str, name: bytes) -> float | None:
        found = (pq.read_schema(self._path(identity)).metadata or {}).get(name)
        return None if found is None else float(found)

    def _path(self, identity: str) -> Path:
        return self._folder / f"{identity[:32]}.parquet"
