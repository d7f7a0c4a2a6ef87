"""The results folder: an attempt replaces the one before it whole; a full disk is an error that
says so."""

import errno
import os
from pathlib import Path

import pytest

from campaign.core.errors import CampaignError
from campaign.core.trials import Evaluation, Replicate
from campaign.records.results import Results
from tests.samples import sample


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results", "demo")


def evaluation(jobs=None, **files):
    return Evaluation(
        "ok", jobs=jobs, files={f"logs/{name}": content for name, content in files.items()}
    )


def test_what_is_kept_comes_back(results):
    trial = sample(3)
    results.keep(trial.record, evaluation(trial.jobs, head=b"\x00log", node=b""))
    assert results.files(3) == {"logs/head": b"\x00log", "logs/node": b""}
    assert results.trial_jobs(3).num_rows == results.jobs().num_rows == trial.jobs.num_rows
    assert results.trial_folder(Replicate(3)) == results.folder / "trials" / "00003"


def test_a_trial_that_left_nothing_has_nothing(results):
    results.keep(sample(1).record, evaluation())
    assert results.files(1) == {} and results.trial_jobs(1) is None


def test_a_later_attempt_takes_the_place_of_the_earlier_one(results):
    first = sample(2, jobs=5)
    second = sample(2, jobs=7, attempt=2)
    results.keep(first.record, evaluation(first.jobs, head=b"1", core=b"dump"))
    results.keep(second.record, evaluation(second.jobs, head=b"2"))
    assert results.files(2) == {"logs/head": b"2"}
    assert results.trial_jobs(2).column("attempt").to_pylist() == [2] * 7
    assert [path.name for path in (results.folder / "trials").iterdir()] == ["00002"]


def test_an_attempt_without_jobs_takes_the_jobs_of_the_earlier_one_away(results):
    """Else the data set would hold jobs of an attempt that no record speaks of."""
    first = sample(2, outcome="invalid")
    results.keep(first.record, evaluation(first.jobs))
    results.keep(
        sample(2, outcome="infrastructure_failed", attempt=2).record, evaluation(head=b"panic")
    )
    assert results.trial_jobs(2) is None and results.jobs().num_rows == 0


def test_what_a_killed_driver_left_half_written_is_not_mixed_in(results):
    left = results.folder / "trials" / ".00002.new"
    left.mkdir(parents=True)
    (left / "old").write_text("half")
    results.keep(sample(2).record, evaluation(head=b"1"))
    assert results.files(2) == {"logs/head": b"1"}


@pytest.mark.parametrize("what", ["jobs", "files"])
def test_a_full_disk_is_an_error_and_leaves_the_earlier_attempt(results, monkeypatch, what):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    first = sample(2, jobs=5)
    second = sample(2, jobs=7, attempt=2)
    results.keep(first.record, evaluation(first.jobs, head=b"1"))
    monkeypatch.setattr(*((os, "fsync", full) if what == "jobs" else (Path, "write_bytes", full)))
    with pytest.raises(CampaignError, match="No space left on device") as caught:
        results.keep(second.record, evaluation(second.jobs, head=b"2"))
    assert str(results.folder) in caught.value.brief and "Free some disk" in caught.value.resolution
    assert results.files(2) == {"logs/head": b"1"}


def test_logs_are_on_the_disk_when_an_attempt_is_kept(results, monkeypatch):
    """Else a power cut leaves a trial that is finished by the ledger with empty logs."""
    flushed = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: flushed.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
    )
    results.keep(sample(2).record, evaluation(head=b"1"))
    assert "head" in [Path(path).name for path in flushed]
    trials = str(results.folder / "trials")
    assert flushed[-1] == trials and str(results.folder) in flushed


def test_the_configuration_is_kept_again_where_it_is_another_one(results):
    results.keep_config("name: demo\n")
    before = results.config_path.stat().st_ino
    results.keep_config("name: demo\n")
    assert results.config_path.stat().st_ino == before
    results.config_path.write_bytes(b"")  # as after a power cut
    results.keep_config("name: demo\n")
    assert results.config_path.read_text() == "name: demo\n"
