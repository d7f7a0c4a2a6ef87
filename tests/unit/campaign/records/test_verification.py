"""Results are those that their ledger speaks of: flipped bits, foreign files, lost tables."""

import random
import shutil

import pytest

from campaign.core.errors import LedgerError
from campaign.core.trials import Evaluation, Replicate
from campaign.records import dataset
from campaign.records.ledger import Ledger, history_of
from campaign.records.results import Results
from campaign.records.verification import check_results, trial_damages
from tests.samples import sample


def begun(root, name="demo", identity="d3", trials=3):
    results = Results(root, name)
    with Ledger(results.ledger_path) as ledger:
        ledger.append("campaign", id=identity, name=name, config={})
        for number in range(trials):
            finish(ledger, results, sample(number, jobs=4), ask=True)
    return results


def finish(ledger, results, one, *, ask=False, killed=False):
    record = one.record
    if ask:
        ledger.append("asked", trial=record.number, point=record.point, attrs={})
    ledger.append("started", trial=record.number, attempt=record.attempt)
    evaluation = Evaluation("ok", jobs=one.jobs, files={"log": b"1"})
    table = results.keep(record, evaluation, ledger.history.identity)
    if not killed:
        ledger.append(
            "finished",
            trial=record.number,
            record=record.model_dump(mode="json"),
            jobs_sha256=table,
        )


def damages(results):
    return [
        (one.path.name, one.problem, one.missing)
        for one in trial_damages(results, history_of(results.ledger_path))
    ]


def test_what_was_kept_is_whole(tmp_path):
    results = begun(tmp_path)
    assert damages(results) == []
    check_results(results, history_of(results.ledger_path))


def test_a_flipped_bit_anywhere_in_a_jobs_table_is_found(tmp_path, flips):
    results = begun(tmp_path, trials=1)
    history = history_of(results.ledger_path)
    path = dataset.path_of(results.jobs_folder, Replicate(0))
    whole = path.read_bytes()
    draw = random.Random(7)
    for _ in range(flips):
        bit = draw.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(LedgerError, match="1 file is not what the ledger says") as caught:
            check_results(results, history)
        assert str(path) in caught.value.details


def test_a_damaged_page_is_not_read(tmp_path):
    """Also where no ledger is at hand, such as in a data set that somebody copied."""
    results = begun(tmp_path, trials=1)
    path = dataset.path_of(results.jobs_folder, Replicate(0))
    whole = path.read_bytes()
    found = 0
    for byte in range(100, 1000):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1]) + whole[byte + 1 :])
        try:
            dataset.read(results.jobs_folder)
        except LedgerError:
            found += 1
    assert found > 700


def test_a_lost_table_is_named_and_stops_nothing(tmp_path, caplog):
    results = begun(tmp_path)
    dataset.path_of(results.jobs_folder, Replicate(1)).unlink()
    assert damages(results) == [("trial=00001.parquet", "the jobs of this trial are lost", True)]
    check_results(results, history_of(results.ledger_path))
    assert "the jobs of this trial are lost" in caplog.text


def test_results_of_another_campaign_are_refused(tmp_path):
    results = begun(tmp_path)
    other = begun(tmp_path, name="other", identity="e4", trials=5)
    for number in (1, 4):
        path = dataset.path_of(results.jobs_folder, Replicate(number))
        shutil.copy(dataset.path_of(other.jobs_folder, Replicate(number)), path)
    shutil.copytree(other.trial_folder(Replicate(4)), results.trial_folder(Replicate(4)))
    assert damages(results) == [
        ("trial=00001.parquet", "it belongs to another campaign", False),
        ("trial=00004.parquet", "it belongs to another campaign", False),
        ("00004", "it belongs to no trial of this ledger", False),
    ]


@pytest.mark.parametrize("content", [None, b""])
def test_nothing_begins_between_results_whose_ledger_is_gone(tmp_path, content):
    results = begun(tmp_path)
    results.ledger_path.unlink()
    if content is not None:
        results.ledger_path.write_bytes(content)
    with (
        Ledger(results.ledger_path) as ledger,
        pytest.raises(LedgerError, match="no campaign in its ledger"),
    ):
        check_results(results, ledger.history)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_driver_killed_before_the_line_of_its_results_damages_nothing(tmp_path, attempt):
    results = begun(tmp_path, trials=1)
    number = 0 if attempt == 2 else 1
    with Ledger(results.ledger_path) as ledger:
        one = sample(number, jobs=7, attempt=attempt)
        finish(ledger, results, one, ask=attempt == 1, killed=True)
    assert damages(results) == []


def test_a_driver_killed_before_the_jobs_of_a_further_attempt_damages_nothing(tmp_path):
    """The first one had left its jobs, but no line in the ledger."""
    results = begun(tmp_path, trials=1)
    with Ledger(results.ledger_path) as ledger:
        finish(ledger, results, sample(1, jobs=7, attempt=1), ask=True, killed=True)
        ledger.append("started", trial=1, attempt=2)
    assert damages(results) == []
    with Ledger(results.ledger_path) as ledger:
        finish(ledger, results, sample(1, jobs=7, attempt=2))
    results.keep(sample(1, jobs=7, attempt=1).record, Evaluation("ok", jobs=sample(1).jobs))
    assert [name for name, _, _ in damages(results)] == ["trial=00001.parquet"]


def test_tables_of_an_earlier_version_are_read_as_they_are(tmp_path):
    results = Results(tmp_path, "demo")
    one = sample(0, jobs=4)
    with Ledger(results.ledger_path) as ledger:
        ledger.append("campaign", id="d3", config={})
        ledger.append("asked", trial=0, point=one.record.point, attrs={})
        ledger.append("started", trial=0, attempt=1)
        results.keep(one.record, Evaluation("ok", jobs=one.jobs))
        ledger.append("finished", trial=0, record=one.record.model_dump(mode="json"))
    assert damages(results) == []
    dataset.path_of(results.jobs_folder, Replicate(0)).write_bytes(b"PAR1")
    assert [name for name, _, _ in damages(results)] == ["trial=00000.parquet"]
