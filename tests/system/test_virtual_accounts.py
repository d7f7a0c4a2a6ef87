"""Slurm with slurmdbd in virtual time: shares, a limit and preemption act on real users' jobs.

One campaign, one golden cluster, two trials: the baseline has no weight of fair share, the other
has one.
"""

import re
from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pytest

from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.records.ledger import history_of
from campaign.workloads.kept import content_of
from campaign.workloads.traits import traits_of
from tests.system.conftest import Workplace

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

FLOOD = 24
"""Jobs of each of the two accounts, on eight slots."""
CAPPED = (49, 50, 51)
URGENT = 52
WEIGHT = "scheduler.params.PriorityWeightFairshare"
SETTINGS = (
    "name=accounts",
    "testbed=virtual-time",
    "cluster.nodes=4",
    "cluster.slots_per_node=2",
    "cluster.accounts={one: {shares: 1, qos: [plain]}, three: {shares: 3, qos: [plain]}, "
    "staff: {qos: [plain, capped, urgent]}}",
    "cluster.users={ada: {accounts: [one]}, bob: {accounts: [three]}, eve: {accounts: [staff]}}",
    "cluster.qos={plain: {preempt: requeue}, capped: {per_user: {max_jobs: 1}}, "
    "urgent: {priority: 100, preempts: [plain]}}",
    "scheduler.params.SchedulerType=sched/backfill",
    "scheduler.params.bf_interval=30",
    "scheduler.params.PriorityWeightJobSize=0",
    "scheduler.params.PriorityWeightQOS=1000000",
    f"{WEIGHT}={{choices: [0, 100000]}}",
    "search.trials=2",
)


def workload(folder):
    """Write the jobs: a flood of both accounts, a few that one user may have one of, an urgent
    one."""
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
    rows.sort(key=lambda row: row["arrival_s"])
    table = pa.Table.from_pylist(
        [row | {"requested_s": 1200.0, "user": row["job_id"]} for row in rows], WORKLOAD_SCHEMA
    )
    traits = traits_of({name: [row[name] for row in rows] for name in ("user_name", "qos")})
    file = folder / "flood.parquet"
    file.write_bytes(content_of(Workload("flood", table, traits=traits)))
    return file


@pytest.fixture(scope="module")
def trials(tmp_path_factory, image_store, bundle_of):
    """What slurmctld logged of ended jobs in each trial, by the trial's weight of fair share."""
    bundle_of("slurm-accounting")
    place = Workplace(tmp_path_factory.mktemp("accounts"), image_store)
    try:
        file = workload(place.folder)
        done = place.search(*SETTINGS, f"workload.path={file}", timeout=1500)
        assert done.returncode == 0, done.stdout + done.stderr
        records = history_of(place.results / "accounts/ledger.jsonl").records
        found = {}
        for number, [record] in records.items():
            assert (record.outcome, record.reason) == ("ok", "")
            logs = place.results / f"accounts/trials/{number:05}/logs/head/var/log/slurm"
            found[record.point[WEIGHT]] = said((logs / "jobcomp.log").read_text())
    finally:
        place.clear()
    return found


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
    assert 0.15 <= share_of_one(trials[100_000]) <= 0.36


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


def test_an_urgent_job_takes_the_place_of_others_which_run_again(trials):
    for lines in trials.values():
        times = Counter(line["Name"] for line in lines)
        again = {name for name, count in times.items() if count > 1}
        assert again and all(int(name[1:]) <= 2 * FLOOD for name in again)
        last = {line["Name"]: line["JobState"] for line in lines}
        assert set(last.values()) == {"COMPLETED"}
