"""`hpc-campaign why`: for which reasons a job of a trial waited, by a simulation of its point."""

import json
from itertools import pairwise

import pytest

from campaign import __main__ as entry
from campaign.config.compose import compose
from campaign.core.exits import USER_ERROR
from campaign.execution.run import run

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("levers")]
"""Where nothing is compiled yet, that takes minutes on a busy machine."""
JOBS = "1 0 -1 3600 4 -1 -1 4 3600 -1 1 1 1 -1 -1 -1 -1 -1\n2 10 -1 60 1 -1 -1 1 60" + (
    " -1 1 1 1 -1 -1 -1 -1 -1\n"
)
"""One job has all four slots for an hour; another one waits for it."""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of a campaign whose trials were simulated, one of each kind of scheduler."""
    folder = tmp_path_factory.mktemp("why")
    (folder / "two.swf").write_text(JOBS)
    for name, policy in (("clocked", "scheduler"), ("ideal", "easy")):
        settings = [
            *("testbed=simulation", f"testbed.policy={policy}", "workload=swf", f"name={name}"),
            *(f"workload.path={folder}/two.swf", "cluster.nodes=2", "cluster.slots_per_node=2"),
            *("search.trials=1", f"output.results={folder}", f"output.mlruns={folder}/mlruns"),
            *("scheduler=slurm", "scheduler.params={SchedulerType: sched/backfill}"),
        ]
        assert run(compose(settings)) == 0
    return folder


def why(capsys, results, trial, job, *more):
    status = entry.main(["why", trial, str(job), "--results", str(results), *more])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_job_that_waits_for_another_one_says_so(results, capsys):
    status, said, _ = why(capsys, results, "clocked:0", 2)
    assert status == 0
    assert "Job 2 of clocked:0: 1 slot" in said and "resources: its nodes are taken" in said
    _, text, _ = why(capsys, results, "clocked:0", 2, "--json")
    story = json.loads(text)
    assert story["submitted_s"] == 10 and story["started_s"] >= 3600
    reasons = story["waits"]
    assert reasons[0]["since_s"] == 10 and reasons[-1]["until_s"] == story["started_s"]
    assert all(one["until_s"] == two["since_s"] for one, two in pairwise(reasons))
    assert story["measured_start_s"] is None


@pytest.mark.parametrize(
    ("trial", "job", "words"),
    [
        ("clocked", 2, "names no trial"),
        ("clocked:7", 2, "has no trial 7"),
        ("clocked:0", 9, "has no job 9"),
        ("ideal:0", 2, "the ideal policy easy"),
        ("nobody:0", 2, "nobody"),
    ],
)
def test_what_can_not_be_told_is_one_clear_error(results, capsys, trial, job, words):
    status, _, said = why(capsys, results, trial, job)
    assert status == USER_ERROR and words in said
