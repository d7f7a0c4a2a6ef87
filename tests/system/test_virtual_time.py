"""Campaigns of real schedulers in virtual time: they end well, and a point has one result."""

import re
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Replicate
from campaign.records.dataset import path_of
from campaign.records.ledger import history_of
from tests.prometheus import alert_queries, board_queries, free_port, program, prometheus
from tests.system.conftest import Workplace
from tests.system.modelled import replayed, workload_file

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

SETTINGS = (
    "testbed=virtual-time",
    "cluster.nodes=4",
    "cluster.slots_per_node=4",
    "workload=poisson",
    "workload.jobs=15",
    "workload.runtime_s=[120,1200]",
    "search.batch=2",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory, image_store, bundle):
    """A workplace, on which nothing is left afterwards."""
    workplace = Workplace(tmp_path_factory.mktemp("virtual"), image_store)
    yield workplace
    workplace.clear()


@pytest.fixture(scope="module")
def metrics_port():
    return free_port()


@pytest.fixture(scope="module")
def watch(metrics_port, tmp_path_factory):
    """A Prometheus that reads the campaign `alone`; None where it isn't installed."""
    if not shutil.which("prometheus"):
        yield None
        return
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus(f"127.0.0.1:{metrics_port}", folder) as running:
        yield running


@pytest.fixture(scope="module")
def alone(place, watch, metrics_port):
    """A campaign of two trials; the history of its ledger."""
    return searched(place, "alone", "search.trials=2", f"output.metrics_port={metrics_port}")


@pytest.fixture
def flux(bundle_of):
    """The settings of a campaign of Flux, in which short jobs overtake wide ones; the test is
    skipped where its files aren't provided."""
    bundle_of("flux")
    return (
        "scheduler=flux",
        "scheduler.params.queue_policy=easy",
        "workload.jobs=12",
        "workload.runtime_s=[60,600]",
        "search.trials=1",
    )


def searched(place, name, *settings):
    done = place.search(f"name={name}", *SETTINGS, *settings, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return history_of(place.results / name / "ledger.jsonl")


def jobs(place, name, trial):
    path = path_of(place.results / name / "jobs", Replicate(trial))
    return pq.read_table(path, partitioning=None).select(JOBS_SCHEMA.names)


def apart_s(then, now):
    """How far apart the starts of each job are."""
    first, second = (table.column("start_ns").to_numpy() / 1e9 for table in (then, now))
    return abs(first - second)


def test_trials_end_well_and_say_that_their_time_was_virtual(place, alone):
    for number in (0, 1):
        record = alone.trial(number)
        assert (record.outcome, record.reason) == ("ok", "")
        facts = record.provenance
        assert (facts.testbed, facts.guest_clock, facts.acceleration) == (
            "virtual-time",
            "virtual",
            "tcg",
        )
        assert facts.virtual_s > 600 and facts.virtual_speed > 1 and facts.start == "golden"
    assert alone.trial(0).provenance.golden_key == alone.trial(1).provenance.golden_key


def test_a_real_prometheus_has_data_for_the_whole_board(alone, watch):
    program("prometheus")
    found = {title: watch.series(query) for title, query in board_queries()}
    assert [title for title, series in found.items() if not series] == []
    assert {labels["outcome"]: values[-1] for labels, values in found["Trials by outcome"]} == {
        "ok": 2,
        "invalid": 0,
        "stalled": 0,
        "scheduler_failed": 0,
        "infrastructure_failed": 0,
    }
    running = {
        labels["phase"] for labels, values in found["Running trials by phase"] if max(values) > 0
    }
    assert "workload" in running
    spent = {labels["phase"] for labels, values in found["Where the time goes"] if max(values) > 0}
    assert {"golden", "workload"} <= spent
    judged = {labels["outcome"]: values for labels, values in found["Attempts by host"]}
    assert max(judged["ok"]) > 0 and max(judged["invalid"]) == 0
    [(host, speeds)] = found["Virtual seconds for each real one"]
    assert host["host"] == "local" and speeds[-1] > 1
    [(_, memory)] = found["Memory that clusters may have"]
    assert memory[-1] > 2**30
    assert watch.rules() == {name: "ok" for name, _ in alert_queries()}
    assert [name for name, query in alert_queries() if watch.series(query)] == []


def test_trial_0_is_the_baseline_with_the_schedulers_defaults(place, alone):
    first, second = (alone.trial(number) for number in (0, 1))
    assert first.baseline and not second.baseline
    assert first.point["scheduler.params.bf_interval"] == 30
    conf = place.results / "alone/trials/00000/config/head/etc/slurm/slurm.conf"
    assert "bf_interval=30," in conf.read_text()


def test_the_same_point_has_the_same_schedule_beside_a_busy_program(place, alone):
    burner = subprocess.Popen(["nice", "-n", "19", sys.executable, "-c", "while True: pass"])
    try:
        again = searched(place, "again", "search.trials=1")
    finally:
        burner.kill()
        burner.wait()
    assert again.trial(0).point == alone.trial(0).point
    then, now = (jobs(place, name, 0) for name in ("alone", "again"))
    assert then.num_rows == 15
    assert then.column("nodes").equals(now.column("nodes"))
    # Seldom a few microseconds differ, and some jobs by the milliseconds that follow from those.
    assert apart_s(then, now).max() < 0.1


def test_flux_has_the_same_schedule_alone_and_again(place, flux):
    """Every job has its nodes, its times by the wrapper, and those of Flux's own accounts."""
    for name in ("flux", "flux-again"):
        [record] = searched(place, name, *flux).records[Replicate(0)]
        assert (record.outcome, record.reason) == ("ok", "")
        assert record.provenance.guest_clock == "virtual" and record.provenance.virtual_speed > 1
    first, again = (jobs(place, name, 0) for name in ("flux", "flux-again"))
    assert first.num_rows == 12 and not first.column("native_start_s").null_count
    assert first.column("nodes").equals(again.column("nodes"))
    assert apart_s(first, again).max() < 0.1
    by_arrival = first.sort_by("submit_ns").column("start_ns").to_numpy()
    assert (by_arrival[1:] < by_arrival[:-1]).any(), "no job was backfilled"


MODELLED = (
    "cluster.groups={cpu: {nodes: 2, slots: 4, memory_mib: 2048}, "
    "fat: {nodes: 1, slots: 4, memory_mib: 8192}, "
    "gpu: {nodes: 1, slots: 2, memory_mib: 2048, gpus: 2, gpu_type: a100}}",
    "cluster.partitions={day: {default: true}, debug: {groups: [cpu], priority_tier: 2}}",
    "cluster.users={ada: {}, grace: {}}",
    "cluster.reservations={kept: {group: cpu, nodes: 1, duration_s: 600, users: [grace]}}",
    "cluster.events=[{at_s: 1000, node: n2, becomes: drain}]",
    "workload.obey=[dependencies]",
)
WISHES = (
    # The first two fit one node each; the third waits for the first.
    {"job_id": 1, "arrival_s": 0, "user_name": "ada", "memory_per_node_mib": 4096.0},
    {"job_id": 2, "arrival_s": 5, "user_name": "grace", "gpus": 2, "gpu_type": "a100"},
    {
        "job_id": 3,
        "arrival_s": 10,
        "user_name": "ada",
        "partition": "debug",
        "after": [1],
        "after_kind": "afterok",
    },
    {"job_id": 4, "arrival_s": 15, "user_name": "somebody", "partition": "gone"},
    {
        "job_id": 5,
        "arrival_s": 20,
        "user_name": "grace",
        "partition": "debug",
        "reservation": "kept",
    },
    # One of the two nodes of their partition is drained by then.
    {"job_id": 6, "arrival_s": 1100, "width": 4, "user_name": "ada", "partition": "debug"},
    {"job_id": 7, "arrival_s": 1101, "width": 4, "user_name": "grace", "partition": "debug"},
)


def test_slurm_obeys_the_model_of_a_cluster(place):
    """By Slurm's own accounts: each job where, when and whose it should be."""
    rows = [{"partition": "day", "runtime_s": 120} | row for row in WISHES]
    file = workload_file(place.results.parent, rows)
    replayed(place, "modelled", f"workload.path={file}", *MODELLED)
    log = place.results / "modelled/trials/00000/logs/head/var/log/slurm/jobcomp.log"
    said = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in log.read_text().splitlines()]
    jobs = {one["Name"]: one for one in said if one["Name"].startswith("j")}
    assert {one["JobState"] for one in jobs.values()} == {"COMPLETED"}
    assert {name: one["UserId"].partition("(")[0] for name, one in jobs.items()} == {
        **dict.fromkeys(("j1", "j3", "j6"), "ada"),
        **dict.fromkeys(("j2", "j5", "j7"), "grace"),
        "j4": "u0004",
    }
    assert {name: one["NodeList"] for name, one in jobs.items() if name != "j4"} == {
        "j1": "n3",  # memory
        "j2": "n4",  # GPUs
        "j3": "n2",  # n1 is reserved
        "j5": "n1",  # its reservation
        "j6": "n1",  # n2 is drained
        "j7": "n1",
    }
    assert jobs["j4"]["Partition"] == "day" and jobs["j3"]["Partition"] == "debug"
    assert jobs["j5"]["ReservationName"] == "kept"
    assert jobs["j3"]["StartTime"] >= jobs["j1"]["EndTime"]
    first, second = sorted((jobs["j6"], jobs["j7"]), key=lambda one: one["StartTime"])
    assert second["StartTime"] >= first["EndTime"]
