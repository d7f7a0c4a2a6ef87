"""Estimates of a dry run: by which campaigns, of which jobs, and honest where there are none."""

import platform
from pathlib import Path

import pytest

from campaign.cli import search
from campaign.config.compose import compose
from campaign.execution.estimate import earlier_campaigns, estimate_lines
from campaign.records.ledger import Ledger
from campaign.records.results import Results

SAME = "a" * 64


def begun(root, name, step_s, *, count=4, jobs=SAME, testbed="simulation", host=""):
    """A campaign whose trials ended `step_s` seconds apart, but for a pause before the last."""
    config = compose([f"name={name}", f"testbed={testbed}"]).campaign.model_dump(mode="json")
    results = Results(root, name)
    with Ledger(results.ledger_path) as ledger:
        ledger.append("campaign", id=name, name=name, config=config, workload_hash=jobs)
        for number in range(count):
            ended = 1000.0 + number * step_s + (5000.0 if number == count - 1 else 0.0)
            record = {"number": number, "point": {}, "attempt": 1, "outcome": "ok"}
            times = {"started": ended - 1, "ended": ended, "provenance": {"host_name": host}}
            ledger.append("asked", trial=number, point={}, attrs={})
            ledger.append("started", trial=number, attempt=1)
            ledger.append("finished", trial=number, record=record | times)
    return results


def lines(root, runs=10, testbed="simulation"):
    found = earlier_campaigns(root, testbed)
    told = estimate_lines(root, found, runs=runs, workload_hash=SAME, testbed=testbed)
    return list(told)


def test_what_is_not_known_is_said(tmp_path):
    begun(tmp_path, "far", 2.0, testbed="libvirt")
    begun(tmp_path, "one", 2.0, count=1)
    begun(tmp_path, "elsewhere", 2.0, host="another-machine")
    (Results(tmp_path, "broken").ledger_path).parent.mkdir()
    Results(tmp_path, "broken").ledger_path.write_text("no ledger\n")
    (said,) = lines(tmp_path)
    assert said.startswith("time       not known: ") and "testbed=simulation" in said


def test_campaigns_of_the_same_jobs_count_alone_and_pauses_do_not(tmp_path):
    begun(tmp_path, "fast", 2.0, host=platform.node())
    begun(tmp_path, "slow", 5.0)
    begun(tmp_path, "other", 400.0, jobs="b" * 64)
    time, disk = lines(tmp_path)
    assert time == "time       20 s to 50 s, by 8 runs in 2 campaigns of the same jobs"
    assert disk.startswith("disk       up to 1 MiB of results")


def test_campaigns_of_other_jobs_are_told_as_such(tmp_path):
    begun(tmp_path, "other", 60.0, jobs="b" * 64)
    time, _ = lines(tmp_path, runs=30)
    assert time == (
        "time       about 30 min, by 4 runs in 1 campaign of other jobs, so that it may be far off"
    )


@pytest.mark.parametrize(("more", "says"), [([], ""), (["workload.instances=3"], "runs       12:")])
def test_a_dry_run_estimates_and_begins_nothing(tmp_path, capsys, monkeypatch, more, says):
    monkeypatch.chdir(tmp_path)
    begun(Path("results"), "other", 3.0)
    options = ["--dry-run", "testbed=simulation", "search.trials=4", "workload=lublin", *more]
    assert search.main(options) == 0
    said = capsys.readouterr().out
    assert "by 4 runs in 1 campaign of other jobs" in said and says in said
    assert "hold-out   the front and the baseline, each on 5 more workloads" in said
    assert [one.name for one in tmp_path.iterdir()] == ["results"]
