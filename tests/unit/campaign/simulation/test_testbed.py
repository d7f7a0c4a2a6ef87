"""The simulation as a testbed: a whole campaign without VMs, Ray or root, that says everywhere what
it is."""

import logging
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest

from campaign.__main__ import main as command
from campaign.config.compose import compose
from campaign.core.errors import LedgerError
from campaign.core.exits import USER_ERROR
from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Trial
from campaign.execution.run import run
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.simulation.clocked import run_clocked
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds import simulated
from campaign.testbeds.preflight import workload_for
from campaign.testbeds.simulated import SimulationBackend
from tests.fakes.tracker import FakeTracker

POINT = {"cluster.nodes": 3, "scheduler.params.SchedulerType": "sched/backfill"}


def made(*overrides: str) -> SimulationTestbed:
    composed = compose(["testbed=simulation", *overrides])
    parts = (composed.campaign, composed.schedulers, composed.space)
    return SimulationTestbed(*parts, workload_for(*parts))


def evaluated(testbed: SimulationTestbed, point: dict | None = None):
    trial = Trial(number=4, point=POINT | (point or {}))
    testbed.start(trial)
    ((same, evaluation),) = testbed.wait(0)
    assert same == trial and testbed.wait(0) == []
    return evaluation


@pytest.mark.parametrize("policy", ["scheduler", "fcfs", "easy", "conservative"])
def test_a_trial_yields_a_valid_jobs_table_and_says_what_it_is(policy: str) -> None:
    found = evaluated(made(f"testbed.policy={policy}"))
    assert (found.outcome, found.reason) == ("ok", "")
    assert found.jobs.schema == JOBS_SCHEMA and found.jobs.num_rows == 20
    assert found.provenance.testbed == "simulation" and found.provenance.simulated_policy == policy
    assert set(found.phases) == {"simulated"} and {check.name for check in found.checks} >= {
        "incomplete jobs"
    }
    names = {name for nodes in found.jobs.column("nodes").to_pylist() for name in nodes}
    assert names <= {"n1", "n2", "n3"}


def test_equal_points_give_equal_tables_and_more_nodes_shorter_ones() -> None:
    testbed = made()
    one = evaluated(testbed)
    same = evaluated(testbed)
    more = evaluated(testbed, {"cluster.nodes": 4})
    assert one.jobs.equals(same.jobs)
    assert max(more.jobs.column("end_ns").to_pylist()) < max(one.jobs.column("end_ns").to_pylist())


def test_delays_shift_what_happens() -> None:
    slow = evaluated(
        made("testbed.launch_s=2", "testbed.submit_s=0.5", "testbed.overrun_s=0.25")
    ).jobs
    first = slow.slice(0, 1).to_pylist()[0]
    assert (first["submit_ns"], first["accepted_ns"], first["start_ns"]) == (
        0,
        500_000_000,
        3_000_000_000,
    )
    ran = (first["end_ns"] - first["start_ns"]) / 1e9
    assert ran == pytest.approx(first["runtime_s"] + 0.25)


def test_parameters_that_are_set_and_ignored_are_named() -> None:
    testbed = made(
        "+scheduler.params.bf_continue=true",
        "+scheduler.params.max_rpc_cnt=150",
        "+scheduler.params.PriorityWeightAge=7",
        "scheduler.params.bf_interval=5",
    )
    builtin = evaluated(testbed, {"scheduler.params.SchedulerType": "sched/builtin"}).provenance
    assert builtin.ignored_parameters == "bf_interval, bf_continue, PriorityWeightAge, max_rpc_cnt"
    backfill = evaluated(testbed).provenance.ignored_parameters
    assert builtin.not_simulated == "max_rpc_cnt of 20 jobs: not simulated"
    # Slurm takes the weight of age for 0 where there is no slurmdbd.
    assert backfill == "bf_continue, PriorityWeightAge, max_rpc_cnt"


def test_how_long_backfill_may_take_acts_where_it_takes_time() -> None:
    setting = "+scheduler.params.bf_max_time=2"
    found = evaluated(made(setting)).provenance
    assert found.not_simulated == "bf_max_time of 20 jobs: not simulated"
    timed = evaluated(made(setting, "testbed.plan_s=0.5")).provenance
    assert (timed.not_simulated, timed.ignored_parameters) == ("", "")


def test_backfill_alone_starts_jobs_where_the_main_scheduler_is_off() -> None:
    testbed = made("scheduler.params.sched_interval=-1", "scheduler.params.bf_interval=30")
    found = evaluated(testbed, {"scheduler.params.SchedulerType": "sched/backfill"})
    starts = [value / 1e9 for value in found.jobs.column("start_ns").to_pylist()]
    assert all(start % 30 == pytest.approx(starts[0] % 30) for start in starts)


def test_a_job_beyond_its_limit_is_killed_and_the_trial_invalid() -> None:
    testbed = made()
    (workload,) = testbed._workloads
    long = workload.table.to_pylist()
    long[3] |= {"runtime_s": 500.0, "requested_s": 60.0}
    object.__setattr__(workload, "table", pa.Table.from_pylist(long, schema=workload.table.schema))
    found = evaluated(testbed)
    row = found.jobs.slice(3, 1).to_pylist()[0]
    assert (
        row["exit_code"] == 143 and row["end_ns"] - row["start_ns"] == 120_000_000_000
    )  # a minute over its limit
    assert found.outcome == "invalid" and "incomplete jobs: 1" in found.reason


@pytest.fixture
def settings(tmp_path) -> list[str]:
    return [
        "testbed=simulation",
        f"output.results={tmp_path}/r",
        f"output.mlruns={tmp_path}/m",
        "output.log=plain",
    ]


def test_a_campaign_runs_resumes_and_says_simulation_everywhere(settings, tmp_path, capsys) -> None:
    assert run(compose([*settings, "search.trials=4"])) == 0
    assert run(compose([*settings, "search.trials=6"])) == 0
    assert "Pareto front of a simulation" in capsys.readouterr().out
    results = Results(tmp_path / "r", "demo-simulation")
    records = history_of(results.ledger_path).final()
    assert [record.number for record in records] == list(range(6))
    assert all(record.valid and record.provenance.testbed == "simulation" for record in records)
    assert all("node_hours_provisioned" in record.absent for record in records)
    assert results.report_path.read_text().count("simulation") > 5
    assert not results.manifests_folder.exists()

    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/m/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "demo-simulation"]
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 7  # the campaign's own, and one each
    assert all(
        "(simulation)" in one.info.run_name and one.data.tags["testbed"] == "simulation"
        for one in runs
    )
    assert any(one.data.tags.get("front") == "true" for one in runs)


@pytest.fixture
def without_mlflow(tmp_path, monkeypatch) -> None:
    """A fake tracker: MLflow's own store takes ten seconds to make."""
    monkeypatch.setattr(
        "campaign.execution.run.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
    )


def test_a_simulation_never_goes_on_with_measured_trials(settings, without_mlflow) -> None:
    assert run(compose([*settings, "search.trials=1", "name=same"])) == 0
    with pytest.raises(LedgerError, match=r"another campaign"):
        run(compose([*settings, "search.trials=2", "name=same", "testbed.kind=libvirt"]))


def test_searched_settings_without_effect_are_named(caplog) -> None:
    caplog.set_level(logging.INFO)
    composed = compose(
        [
            "testbed=simulation",
            "testbed.policy=easy",
            "scheduler.params.PriorityWeightJobSize=[0,9]",
        ]
    )
    with ExitStack() as stack:
        parts = (composed.campaign, composed.schedulers, composed.space)
        SimulationBackend(*parts).open(stack, [workload_for(*parts)])
    said = caplog.messages
    assert "SIMULATION" in said[0] and "ideal easy" in said[0]
    (ignored,) = [line for line in said if "have no effect" in line]
    assert "bf_interval" in ignored and "PriorityWeightJobSize" not in ignored


def test_neither_ray_nor_libvirt_is_imported(settings, tmp_path) -> None:
    code = (
        "import sys, pathlib; from campaign.execution import run; from campaign.config.compose "
        "import compose\n"
        "from tests.fakes.tracker import FakeTracker\n"
        "if __name__ == '__main__':\n"
        f"    run.tracker_for = lambda *_: FakeTracker(pathlib.Path({str(tmp_path / 'told')!r}))\n"
        f"    run.run(compose({[*settings, 'search.trials=1', 'name=light']!r}))\n"
        "    print([name for name in ('ray', 'libvirt', 'asyncssh') if name in sys.modules])\n"
    )
    script = tmp_path / "light.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip().endswith("[]")


def test_one_campaign_searches_over_schedulers(settings, without_mlflow, tmp_path) -> None:
    assert run(compose([*settings, "scheduler=slurm-flux", "search.trials=8", "name=across"])) == 0
    records = history_of(tmp_path / "r/across/ledger.jsonl").final()
    assert {record.provenance.scheduler for record in records} == {"slurm", "flux"}
    for record in records:
        assert record.valid and record.provenance.scheduler == record.point["scheduler.name"]
    page = (tmp_path / "r/across/report.html").read_text()
    assert "flux.queue_policy" in page and "slurm.bf_interval" in page


def test_two_trials_are_compared_by_their_names(settings, without_mlflow, tmp_path, capsys) -> None:
    assert run(compose([*settings, "scheduler=slurm-flux", "search.trials=6", "name=across"])) == 0
    records = history_of(tmp_path / "r/across/ledger.jsonl").final()
    slurm, flux = (
        next(r.number for r in records if r.provenance.scheduler == name)
        for name in ("slurm", "flux")
    )
    capsys.readouterr()
    assert (
        command(
            ["report", "compare", f"across:{slurm}", f"across:{flux}", "--results", f"{tmp_path}/r"]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert f"across:{slurm} against across:{flux}: the same 20 jobs" in said
    assert "what differs between the schedulers" in said and "what sets a decision off:" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "same:0", "same:9"], "same:9: the campaign same has no such trial"),
        (["compare", "same:0", "same"], "'same' names no trial"),
        (["compare", "same:0"], "neither a campaign nor a comparison"),
        (["compare", "same:0", "none:0"], "there is no campaign"),
    ],
)
def test_what_cannot_be_compared_is_said(
    settings, without_mlflow, tmp_path, capsys, arguments, said
) -> None:
    assert run(compose([*settings, "search.trials=1", "name=same"])) == 0
    assert command(["report", *arguments, "--results", f"{tmp_path}/r"]) == USER_ERROR
    assert said in capsys.readouterr().err


def test_set_up_compiles_what_the_default_campaign_runs() -> None:
    simulated.main()
    assert run_clocked.signatures


def test_what_acts_only_where_people_share_the_cluster_is_not_said_to_have_no_effect() -> None:
    people = ("cluster.accounts={a: {shares: 3}, b: {}}", "cluster.users={u: {accounts: [a]}}")
    weight = "scheduler.params.PriorityWeightFairshare"
    assert weight not in made(f"{weight}=[0,1000]", *people).never_used
