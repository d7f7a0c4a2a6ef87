"""The Parquet data set: what is written comes back whole, in order, and once per trial."""

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from campaign.core.errors import LedgerError
from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Replicate, TrialRecord
from campaign.records import dataset
from tests.samples import sample


@pytest.fixture
def samples():
    return [sample(number, jobs=5) for number in (10, 9)]


def test_all_trials_come_back_as_one_table_in_order(tmp_path, samples):
    for one in samples:
        dataset.write(tmp_path, "demo", one.record, one.jobs)
    table = dataset.read(tmp_path)
    assert table.schema == dataset.DATASET_SCHEMA
    assert table.column("trial").to_pylist() == [9] * 5 + [10] * 5
    assert set(table.column("campaign").to_pylist()) == {"demo"}
    assert table.slice(5).select(JOBS_SCHEMA.names).to_pylist() == samples[0].jobs.to_pylist()


def test_writing_again_replaces_the_trial_and_leaves_no_other_file(tmp_path, samples):
    first = samples[0]
    dataset.write(tmp_path, "demo", first.record, first.jobs)
    again = first.record.model_copy(update={"attempt": 2})
    file = dataset.write(tmp_path, "demo", again, first.jobs.slice(0, 3))
    assert dataset.read(tmp_path).column("attempt").to_pylist() == [2, 2, 2]
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_write_leaves_the_earlier_file_as_it_was(tmp_path, samples, monkeypatch):
    first = samples[0]
    file = dataset.write(tmp_path, "demo", first.record, first.jobs)

    def half(_table, out, **_options):
        out.write(b"PAR1 half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="No space"):
        dataset.write(tmp_path, "demo", first.record, first.jobs)
    assert dataset.read(tmp_path).num_rows == 5
    assert list(tmp_path.iterdir()) == [file]


def test_the_file_alone_tells_its_trial(tmp_path, samples):
    file = dataset.write(tmp_path, "demo", samples[0].record, samples[0].jobs)
    metadata = pq.read_schema(file).metadata
    assert TrialRecord.model_validate_json(metadata[b"record"]) == samples[0].record


def test_one_trial_is_read_alone(tmp_path, samples):
    dataset.write(tmp_path, "demo", samples[0].record, samples[0].jobs)
    assert dataset.read_replicate(tmp_path, Replicate(10)).num_rows == 5
    assert dataset.read_replicate(tmp_path, Replicate(11)) is None


def test_other_readers_see_one_data_set(tmp_path, samples):
    dataset.write(tmp_path, "demo", samples[0].record, samples[0].jobs)
    assert ds.dataset(tmp_path, format="parquet").to_table().num_rows == 5


def test_nothing_written_is_an_empty_table(tmp_path):
    assert dataset.read(tmp_path / "none").schema == dataset.DATASET_SCHEMA
    assert dataset.read(tmp_path / "none").num_rows == 0


def test_a_damaged_file_is_named(tmp_path, samples):
    file = dataset.write(tmp_path, "demo", samples[0].record, samples[0].jobs)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(LedgerError, match=r"trial=00010\.parquet"):
        dataset.read(tmp_path)


def test_a_jobs_table_with_missing_columns_is_refused(tmp_path, samples):
    with pytest.raises(KeyError):
        dataset.write(tmp_path, "demo", samples[0].record, samples[0].jobs.drop_columns(["end_ns"]))
