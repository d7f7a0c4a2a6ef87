"""A log replayed in simulation beside the log, from the command to the report."""

import json

import pytest

from campaign.__main__ import main
from campaign.config.compose import compose
from campaign.execution.run import run
from tests.fakes.tracker import FakeTracker

LOG = "job_id,arrival,start,end,width,partition\n" + "".join(
    f"{number},{30 * number},{30 * number + 600},{30 * number + 660},1,{part}\n"
    for number, part in enumerate(["cpu", "gpu"] * 10, start=1)
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A results folder with a replayed log, and a demo."""
    monkeypatch.setattr(
        "campaign.execution.run.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
    )
    (tmp_path / "log.csv").write_text(LOG)
    common = [
        "testbed=simulation",
        "search.trials=1",
        f"output.results={tmp_path}/r",
        f"output.mlruns={tmp_path}/m",
        "output.log=plain",
    ]
    run(compose([*common, "name=log", f"workload.path={tmp_path}/log.csv", "cluster.nodes=2"]))
    run(compose([*common, "name=demo", "workload.jobs=5", "cluster.nodes=2"]))
    return tmp_path / "r"


def test_a_replay_stands_beside_its_log_in_command_json_and_report(folder, capsys):
    capsys.readouterr()
    assert main(["fidelity", "log", "--results", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("log:0, replayed under the defaults of slurm on 2 nodes")
    assert "The replay differs from the log: wait mean" in said and "recorded 600 s" in said
    assert "waits by partition, s" in said and "partition of 20 jobs: not replayed" in said
    assert main(["fidelity", "log:0", "--results", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trial"] == "log:0" and found["verdict"] == "differs"
    assert [
        (one["label"], one["jobs"], one["recorded"]["mean"]) for one in found["by"]["partition"]
    ] == [
        ("cpu", 10, 600.0),
        ("gpu", 10, 600.0),
    ]
    page = (folder / "log/report.html").read_text()
    assert '<section id="fidelity">' in page and "waits by partition, s" in page
    assert '<section id="fidelity">' not in (folder / "demo/report.html").read_text()


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ("demo", "demo:0: the workload demo has no recorded waits to compare with"),
        ("log:7", "the campaign log has no trial 7"),
        ("log:x", "'log:x' names no trial"),
    ],
)
def test_what_can_not_be_compared_is_one_error(folder, capsys, trial, said):
    capsys.readouterr()
    assert main(["fidelity", trial, "--results", str(folder)]) == 2
    assert said in capsys.readouterr().err
