"""Slurm with slurmdbd in virtual time: shares, a limit and preemption act on real users' jobs.

One golden cluster, and a campaign of two trials: the baseline has no weight of fair share, the
other has one. The log that its Slurm has written is read back, and replayed by a second campaign.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pytest

from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.workloads.kept import content_of
from campaign.workloads.table import read_table
from campaign.workloads.traits import traits_of
from tests.system.conftest import Workplace

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

FLOOD = 24
"""Jobs of each of the two accounts, on eight slots."""
CAPPED = (49, 50, 51)
URGENT = 52
FIRST, SECOND = 54, 55
TASKS = (57, 58, 59)
WISHES = {
    53: {"width": 2, "gpus": 2, "gpu_type": "a100"},
    FIRST: {"width": 1, "memory_per_node_mib": 6000.0},
    SECOND: {"width": 1, "after": [FIRST], "after_kind": "afterok"},
    56: {"width": 2, "nodes": 2, "memory_per_slot_mib": 100.0},
    **{task: {"width": 1, "array": 1, "array_limit": 1} for task in TASKS},
}
"""What some jobs ask for beside slots and time."""
FAIR = 100_000
WEIGHT = "scheduler.params.PriorityWeightFairshare"
CLUSTER = (
    "testbed=virtual-time",
    "cluster.groups={plain: {nodes: 3, slots: 2, memory_mib: 4096}, "
    "gpu: {nodes: 1, slots: 2, memory_mib: 8192, gpus: 2, gpu_type: a100}}",
    "cluster.accounts={one: {shares: 1, qos: [plain]}, three: {shares: 3, qos: [plain]}, "
    "staff: {qos: [plain, capped, urgent]}}",
    "cluster.users={ada: {accounts: [one]}, bob: {accounts: [three]}, eve: {accounts: [staff]}}",
    "cluster.qos={plain: {preempt: requeue}, capped: {per_user: {max_jobs: 1}}, "
    "urgent: {priority: 100, preempts: [plain]}}",
    "workload.obey=[nodes, dependencies, arrays]",
    "scheduler.params.SchedulerType=sched/backfill",
    "scheduler.params.bf_interval=30",
    "scheduler.params.PriorityWeightJobSize=0",
    "scheduler.params.PriorityWeightQOS=1000000",
)


def workload(folder):
    """Write the jobs: a flood of both accounts, a few that one user may have one of, an urgent
    one, and some with wishes."""
    rows = [
        {
            "job_id": number,
            "arrival_s": 0.0,
            "width": 1,
            "runtime_s": 300.0 + 37 * (number % 13),
            "user_name": ("bob", "ada")[number % 2],
            "qos": "plain",
        }
        for number in range(1, 2 * FLOOD + 1)
    ]
    short = {"width": 1, "runtime_s": 120.0, "user_name": "eve"}
    rows += [short | {"job_id": one, "arrival_s": 600.0, "qos": "capped"} for one in CAPPED]
    rows.append(short | {"job_id": URGENT, "arrival_s": 1500.0, "width": 8, "qos": "urgent"})
    late = short | {"arrival_s": 1700.0, "qos": "plain"}
    rows += [late | {"job_id": number} | wishes for number, wishes in WISHES.items()]
    rows.sort(key=lambda row: row["arrival_s"])
    table = pa.Table.from_pylist(
        [row | {"requested_s": 1200.0, "user": row["job_id"]} for row in rows], WORKLOAD_SCHEMA
    )
    asked = ("user_name", "qos", *dict.fromkeys(name for one in WISHES.values() for name in one))
    traits = traits_of({name: [row.get(name) for row in rows] for name in asked if name != "width"})
    file = folder / "flood.parquet"
    file.write_bytes(content_of(Workload("flood", table, traits=traits)))
    return file


@pytest.fixture(scope="module")
def place(tmp_path_factory, image_store, bundle_of):
    """Where the campaign `accounts` has been run."""
    bundle_of("slurm-accounting")
    made = Workplace(tmp_path_factory.mktemp("accounts"), image_store)
    try:
        weights = f"{WEIGHT}={{choices: [0, {FAIR}]}}"
        searched(made, "accounts", workload(made.folder), weights, "search.trials=2")
        yield made
    finally:
        made.clear()


def attempts(place, name):
    """The records of a campaign's attempts, by trial."""
    records = history_of(place.results / name / "ledger.jsonl").records
    return {replicate.trial: found for replicate, found in records.items()}


def searched(place, name, file, *more):
    """Run a campaign on the cluster, and return its records by trial."""
    done = place.search(*CLUSTER, f"name={name}", f"workload.path={file}", *more, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    records = attempts(place, name)
    for number, [record] in records.items():
        assert (record.outcome, record.reason) == ("ok", "")
        assert not (place.results / f"{name}/trials/{number:05}/job-log-missing.txt").exists()
    return records


def commanded(*words):
    """Run another command; return what it prints."""
    command = [sys.executable, "-m", "campaign", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def logs(place):
    """The folder of Slurm's logs of each trial, and its number, by its weight of fair share."""
    return {
        record.point[WEIGHT]: (
            number,
            place.results / f"accounts/trials/{number:05}/logs/head/var/log/slurm",
        )
        for number, [record] in attempts(place, "accounts").items()
    }


@pytest.fixture(scope="module")
def trials(logs):
    """What slurmctld logged of ended jobs in each trial, by the trial's weight of fair share."""
    return {weight: said((log / "jobcomp.log").read_text()) for weight, (_, log) in logs.items()}


def said(log):
    """The lines of the completion log that are of jobs of the workload, each as a mapping."""
    lines = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in log.splitlines()]
    return [line for line in lines if re.fullmatch(r"j\d+", line.get("Name", ""))]


def share_of_one(lines):
    """The part of the jobs that account `one` has begun when account `three` begins its last."""
    flood = [line for line in lines if line["Account"] in ("one", "three")]
    last = max(line["StartTime"] for line in flood if line["Account"] == "three")
    begun = Counter(line["Account"] for line in flood if line["StartTime"] <= last)
    return begun["one"] / begun.total()


def test_shares_of_one_and_three_are_had_where_fair_share_has_a_weight(trials):
    assert 0.15 <= share_of_one(trials[FAIR]) <= 0.36


def test_jobs_come_in_their_order_where_it_has_none(trials):
    assert 0.42 <= share_of_one(trials[0]) <= 0.58


def test_a_user_never_has_more_jobs_at_once_than_a_quality_of_service_allows(trials):
    for lines in trials.values():
        mine = sorted(
            (line["StartTime"], line["EndTime"])
            for line in lines
            if int(line["Name"][1:]) in CAPPED
        )
        assert len(mine) == len(CAPPED)
        assert all(then[1] <= now[0] for then, now in pairwise(mine))


def test_no_more_tasks_of_an_array_run_at_once_than_it_says(trials):
    for lines in trials.values():
        tasks = [line for line in lines if line["Name"] == f"j{TASKS[0]}"]
        times = sorted((line["StartTime"], line["EndTime"]) for line in tasks)
        assert [line["ArrayTaskId"] for line in tasks] == ["0", "1", "2"]
        assert all(then[1] <= now[0] for then, now in pairwise(times))


def test_an_urgent_job_takes_the_place_of_others_which_run_again(trials):
    for lines in trials.values():
        times = Counter(line["JobId"] for line in lines)
        again = {line["Name"] for line in lines if times[line["JobId"]] > 1}
        assert again and all(int(name[1:]) <= 2 * FLOOD for name in again)
        last = {line["Name"]: line["JobState"] for line in lines}
        assert set(last.values()) == {"COMPLETED"}


@pytest.fixture(scope="module")
def imported(place, logs):
    """The log of the trial with fair share, as `import` reads it, by its kind."""
    _, log = logs[FAIR]
    files = {}
    for kind in ("txt", "json"):
        files[kind] = place.folder / f"{kind}.parquet"
        commanded("import", log / f"sacct.{kind}.gz", "--out", files[kind])
    return files


def test_the_log_of_a_trial_has_its_jobs_with_all_that_they_asked_for(place, logs, imported):
    number, _ = logs[FAIR]
    ran = {
        row["job_id"]: row
        for row in Results(place.results, "accounts").trial_jobs(number).to_pylist()
    }
    asked = read_table(place.folder / "flood.parquet")
    for file in imported.values():
        found = read_table(file)
        columns = zip(found.table.to_pylist(), found.traits.to_pylist(), strict=True)
        read = {row["job_id"]: row | traits for row, traits in columns}
        # Slurm numbers tasks of an array when they begin, and sacct has them in their order.
        native = {job: int(row["native_id"]) for job, row in ran.items() if job not in TASKS}
        tasks = [number for number, job in read.items() if job["array"]]
        native |= dict(zip(TASKS, tasks, strict=True))
        assert read.keys() == set(native.values())
        for row, traits in zip(asked.table.to_pylist(), asked.traits.to_pylist(), strict=True):
            job = read[native[row["job_id"]]]
            for same in ("width", "requested_s"):
                assert job[same] == row[same]
            for same in ("user_name", "qos", "gpus", "gpu_type", "after_kind", "array_limit"):
                assert job.get(same) == traits[same]
            assert job["nodes"] in (traits["nodes"], ran[row["job_id"]]["nodes_requested"])
            assert (job["after"] or []) == [native[one] for one in traits["after"] or ()]
            assert abs(job["runtime_s"] - row["runtime_s"]) <= 3
            began = ran[row["job_id"]]["native_start_s"]
            assert abs(job["arrival_s"] + job["recorded_wait_s"] - began) <= 3
        first = read[native[FIRST]]
        assert (first["account"], first["memory_per_node_mib"]) == ("staff", 6000)


def test_the_log_replayed_under_the_same_settings_is_what_happened(place, imported):
    searched(place, "again", imported["txt"], f"{WEIGHT}={FAIR}", "search.trials=1")
    told = commanded("fidelity", "again", "--results", place.results, "--json")
    found = json.loads(told)
    assert found["verdict"] == "agrees", told
    assert found["whole"]["jobs"] == 2 * FLOOD + len(CAPPED) + 1 + len(WISHES)
