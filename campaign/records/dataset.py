"""The Parquet data set of a campaign: every job of every judged trial, one file per trial."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.errors import LedgerError
from campaign.core.files import make_folder, open_regular, writing_atomically
from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import TrialRecord

DATASET_SCHEMA = pa.schema(
    [
        ("campaign", pa.string()),
        ("trial", pa.int32()),
        ("attempt", pa.int32()),
        ("outcome", pa.string()),
        *JOBS_SCHEMA,
    ]
)
_FILE = re.compile(r"trial=(\d+)\.parquet")


def path_of(folder: Path, trial: int) -> Path:
    """Return the path of one trial's file in the data set `folder`."""
    return folder / f"trial={trial:05d}.parquet"


def write(
    folder: Path, campaign: str, record: TrialRecord, jobs: pa.Table, identity: str = ""
) -> Path:
    """Write the jobs of one trial and return the path of their file.

    `jobs` has JOBS_SCHEMA; `identity` is the campaign's, by its ledger. The file appears whole or
    not at all, and replaces that of an earlier attempt. Raises OSError when the disk fails or is
    full.
    """
    target = path_of(folder, record.number)
    table = _labelled(campaign, record, jobs, identity)
    make_folder(target.parent)
    with writing_atomically(target) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    return target


def trials_in(folder: Path) -> list[int]:
    """Return the numbers of the trials that have a file in the data set `folder`, sorted."""
    return sorted(
        int(match[1]) for path in folder.glob("*") if (match := _FILE.fullmatch(path.name))
    )


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


def read_trial(folder: Path, trial: int) -> pa.Table | None:
    """Return the jobs of one trial with DATASET_SCHEMA, or None where none were kept.

    Raises LedgerError for a file that can't be read.
    """
    file = path_of(folder, trial)
    return read_file(file) if file.exists() else None


def _files(folder: Path) -> list[Path]:
    numbered = ((_FILE.fullmatch(file.name), file) for file in folder.glob("trial=*.parquet"))
    return [file for _, file in sorted((int(match[1]), file) for match, file in numbered if match)]


def _labelled(campaign: str, record: TrialRecord, jobs: pa.Table, identity: str) -> pa.Table:
    labels = (campaign, record.number, record.attempt, record.outcome)
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
    """Return the jobs of one trial's file with DATASET_SCHEMA; LedgerError if it can't be read."""
    with _readable(file):
        # A file object, since from a path pyarrow would read `trial=00003` as a partition column.
        with open_regular(file) as source:
            table = pq.read_table(source, page_checksum_verification=True)
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
