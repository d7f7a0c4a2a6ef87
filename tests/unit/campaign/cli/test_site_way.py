"""The way of a site, as the README has it: log and settings in, search, fidelity, patch out."""

import random
import subprocess
from pathlib import Path

import pytest

from campaign.__main__ import main
from campaign.records.ledger import history_of
from campaign.records.results import Results

CONF = """\
ClusterName=ours
SlurmctldHost=head
SchedulerParameters=bf_interval=300,bf_window=1440
NodeName=n[1-4] CPUs=4
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
COLUMNS = "JobID|User|Partition|Submit|Start|End|ElapsedRaw|TimelimitRaw|AllocCPUS|State"
MORNING = 8 * 3600


def clock(second: int) -> str:
    """A second of the day as sacct prints it."""
    return f"2026-03-02T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def log(count: int) -> str:
    """What sacct -P prints of so many jobs of a morning, each of which waited a minute."""
    draw = random.Random(4)
    submit = MORNING
    rows = [COLUMNS]
    for number in range(count):
        submit += draw.randint(10, 100)
        run = draw.randint(60, 900)
        times = [clock(at) for at in (submit, submit + 60, submit + 60 + run)]
        width = draw.choice([1, 1, 2, 4, 8, 16])
        cells = (1000 + number, f"u{number % 3}", "main", *times, run, 3 * run // 60 + 1, width)
        rows.append("|".join(map(str, (*cells, "COMPLETED"))))
    return "\n".join(rows) + "\n"


def metrics(name: str, trial: int) -> dict[str, float]:
    """The metrics of a trial that do not tell how long anything of ours took."""
    [record] = [
        record
        for record in history_of(Results(Path("results"), name).ledger_path).final()
        if record.number == trial
    ]
    return {key: value for key, value in record.metrics.items() if "overhead" not in key}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The working directory of somebody with a log and a slurm.conf."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site/scheduler").mkdir(parents=True)
    (tmp_path / "log.txt").write_text(log(80))
    (tmp_path / "slurm.conf").write_text(CONF)


def search(option: str, name: str, *settings: str) -> int:
    """Search with an option of the group `scheduler` that was imported."""
    cluster = ("cluster.nodes=4", "cluster.slots_per_node=4")
    given = (f"scheduler={option}", f"name={name}", "workload.path=log.parquet", *cluster)
    testbed = ("testbed=simulation", "output.log=plain")
    return main(["search", "--config-dir", "site", *testbed, *given, *settings])


def test_the_exported_settings_give_the_same_result_as_the_baseline(site, capsys) -> None:
    assert main(["import", "log.txt", "--out", "log.parquet"]) == 0
    assert main(["import", "slurm.conf", "--out", "site/scheduler/ours.yaml"]) == 0
    searched = ("++scheduler.params.bf_interval=[5,300]", "search.trials=6")
    assert search("ours", "ours", *searched) == 0
    capsys.readouterr()
    assert main(["fidelity", "ours"]) == 0
    told = capsys.readouterr().out
    # Each job of the log waited a minute, which is no wait that this cluster would have given.
    assert "The replay differs from the log" in told and "recorded 60 s" in told

    before = metrics("ours", 0)
    chosen = next(trial for trial in range(1, 6) if metrics("ours", trial) != before)
    export = ["export", "config", f"ours:{chosen}", "--against", "slurm.conf", "--out", "x.patch"]
    assert main(export) == 0
    subprocess.run(("patch", "-p0", "--fuzz=0", "--input", "x.patch"), check=True)
    assert main(["import", "slurm.conf", "--out", "site/scheduler/theirs.yaml"]) == 0
    assert search("theirs", "theirs", "search.trials=1") == 0
    assert metrics("theirs", 0) == metrics("ours", chosen)
