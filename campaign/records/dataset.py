"""The Parquet data set of a campaign: every job of every judged trial, a file per replicate."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.errors import LedgerError
from campaign.core.files import make_folder, open_regular, writing_atomically
from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Replicate, TrialRecord

DATASET_SCHEMA = pa.schema(
    [
        ("campaign", pa.string()),
        ("trial", pa.int32()),
        ("instance", pa.int32()),
        ("attempt", pa.int32()),
        ("outcome", pa.string()),
        *JOBS_SCHEMA,
    ]
)
_FILE = re.compile(r"trial=(\d+)(?:\.instance=(\d+))?\.parquet")
_SINCE: Mapping[str, object] = {"instance": 0}
"""Columns that files of earlier versions lack, with what holds for these."""


def path_of(folder: Path, replicate: Replicate) -> Path:
    """Return the path of one replicate's file in the data set `folder`."""
    instance = f".instance={replicate.instance}" if replicate.instance else ""
    return folder / f"trial={replicate.trial:05d}{instance}.parquet"


def write(
    folder: Path, campaign: str, record: TrialRecord, jobs: pa.Table, identity: str = ""
) -> Path:
    """Write the jobs of one replicate and return the path of their file.

    `jobs` has JOBS_SCHEMA; `identity` is the campaign's, by its ledger. The file appears whole or
    not at all, and replaces that of an earlier attempt. Raises OSError when the disk fails or is
    full.
    """
    target = path_of(folder, record.replicate)
    table = _labelled(campaign, record, jobs, identity)
    make_folder(target.parent)
    with writing_atomically(target) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    return target


def replicates_in(folder: Path) -> list[Replicate]:
    """Return the replicates that have a file in the data set `folder`, sorted."""
    return sorted(found for path in folder.glob("*") if (found := _replicate_of(path)))


def _replicate_of(file: Path) -> Replicate | None:
    match = _FILE.fullmatch(file.name)
    return Replicate(int(match[1]), int(match[2] or 0)) if match else None


def origin_of(file: Path) -> tuple[str, TrialRecord]:
    """Return the identity of the campaign that wrote a trial's file, and the record in it.

    The identity is "" in files of earlier versions. Raises LedgerError where the file can't be
    read, or says nothing of that.
    """
    with _readable(file), open_regular(file) as source:
        metadata = pq.read_schema(source).metadata or {}
        record = TrialRecord.model_validate_json(metadata[b"record"])
        return metadata.get(b"id", b"").decode(), record


def read(folder: Path) -> pa.Table:
    """Return the whole data set with DATASET_SCHEMA, in order of trials.

    It has no rows where nothing was written yet. Raises LedgerError for a file that can't be read.
    """
    return pa.concat_tables(
        [DATASET_SCHEMA.empty_table(), *(read_file(file) for file in _files(folder))]
    )


def read_replicate(folder: Path, replicate: Replicate) -> pa.Table | None:
    """Return the jobs of one replicate with DATASET_SCHEMA, or None where none were kept.

    Raises LedgerError for a file that can't be read.
    """
    file = path_of(folder, replicate)
    return read_file(file) if file.exists() else None


def _files(folder: Path) -> list[Path]:
    return [path_of(folder, replicate) for replicate in replicates_in(folder)]


def _labelled(campaign: str, record: TrialRecord, jobs: pa.Table, identity: str) -> pa.Table:
    labels = (campaign, record.number, record.instance, record.attempt, record.outcome)
    columns = [
        *(
            pa.array([label] * jobs.num_rows, field.type)
            for label, field in zip(labels, DATASET_SCHEMA, strict=False)
        ),
        *jobs.select(JOBS_SCHEMA.names).cast(JOBS_SCHEMA).columns,
    ]
    metadata = {
        "campaign": campaign,
        "id": identity,
        "trial": str(record.number),
        "record": record.model_dump_json(),
    }
    return pa.Table.from_arrays(columns, schema=DATASET_SCHEMA.with_metadata(metadata))


def read_file(file: Path) -> pa.Table:
    """Return the jobs of one file with DATASET_SCHEMA; LedgerError if it can't be read."""
    with _readable(file):
        # A file object, since from a path pyarrow would read `trial=00003` as a partition column.
        with open_regular(file) as source:
            table = pq.read_table(source, page_checksum_verification=True)
        for name in _SINCE.keys() - set(table.column_names):
            table = table.append_column(name, pa.array([_SINCE[name]] * table.num_rows))
        return table.select(DATASET_SCHEMA.names).cast(DATASET_SCHEMA).replace_schema_metadata(None)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise LedgerError(
            f"can't read the jobs of a trial from {file}",
            str(error),
            "Remove the file: the jobs of this trial are lost, all other trials stay.",
        ) from error
