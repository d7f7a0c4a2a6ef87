"""Campaigns of real schedulers in virtual time: they end well, and a point has one result."""

import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.core.jobs import JOBS_SCHEMA, TRAITS_SCHEMA, WORKLOAD_SCHEMA, Workload
from campaign.records.dataset import path_of
from campaign.records.ledger import history_of
from campaign.workloads.kept import content_of
from campaign.workloads.traits import traits_of
from tests.system.conftest import Workplace

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
def alone(place):
    """A campaign of two trials; the history of its ledger."""
    return searched(place, "alone", "search.trials=2")


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
    path = path_of(place.results / name / "jobs", trial)
    return pq.read_table(path, partitioning=None).select(JOBS_SCHEMA.names)


def apart_s(then, now):
    """How far apart the starts of each job are."""
    first, second = (table.column("start_ns").to_numpy() / 1e9 for table in (then, now))
    return abs(first - second)


def test_trials_end_well_and_say_that_their_time_was_virtual(place, alone):
    for number in (0, 1):
        record = alone.records[number][-1]
        assert (record.outcome, record.reason) == ("ok", "")
        facts = record.provenance
        assert (facts.testbed, facts.guest_clock, facts.acceleration) == (
            "virtual-time",
            "virtual",
            "tcg",
        )
        assert facts.virtual_s > 600 and facts.virtual_speed > 1 and facts.start == "golden"
    assert alone.records[0][-1].provenance.golden_key == alone.records[1][-1].provenance.golden_key


def test_trial_0_is_the_baseline_with_the_schedulers_defaults(place, alone):
    first, second = (alone.records[number][-1] for number in (0, 1))
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
    assert again.records[0][-1].point == alone.records[0][-1].point
    then, now = (jobs(place, name, 0) for name in ("alone", "again"))
    assert then.num_rows == 15
    assert then.column("nodes").equals(now.column("nodes"))
    # Seldom a few microseconds differ, and some jobs by the milliseconds that follow from those.
    assert apart_s(then, now).max() < 0.1


def test_flux_has_the_same_schedule_alone_and_again(place, flux):
    """Every job has its nodes, its times by the wrapper, and those of Flux's own accounts."""
    for name in ("flux", "flux-again"):
        [record] = searched(place, name, *flux).records[0]
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
COLUMNS = ("job_id", "arrival_s", "width", "user_name", "partition")
WISHES = (
    # The first two fit one node each; the third waits for the first.
    ((1, 0, 1, "ada", "day"), {"memory_per_node_mib": 4096.0}),
    ((2, 5, 1, "grace", "day"), {"gpus": 2, "gpu_type": "a100"}),
    ((3, 10, 1, "ada", "debug"), {"after": [1], "after_kind": "afterok"}),
    ((4, 15, 1, "somebody", "gone"), {}),
    ((5, 20, 1, "grace", "debug"), {"reservation": "kept"}),
    # One of the two nodes of their partition is drained by then.
    ((6, 1100, 4, "ada", "debug"), {}),
    ((7, 1101, 4, "grace", "debug"), {}),
)


def modelled_workload(folder):
    """Write seven jobs of two minutes, each with a wish of its own; the user is its number."""
    rows = [dict(zip(COLUMNS, own, strict=True)) | wishes for own, wishes in WISHES]
    times = {"runtime_s": 120.0, "requested_s": 300.0}
    table = pa.Table.from_pylist(
        [row | times | {"user": row["job_id"]} for row in rows], WORKLOAD_SCHEMA
    )
    names = {name for row in rows for name in row} & set(TRAITS_SCHEMA.names)
    traits = traits_of({name: [row.get(name) for row in rows] for name in names})
    file = folder / "wishes.parquet"
    file.write_bytes(content_of(Workload("wishes", table, traits=traits)))
    return file


def test_slurm_obeys_the_model_of_a_cluster(place):
    """By Slurm's own accounts: each job where, when and whose it should be."""
    file = modelled_workload(place.results.parent)
    done = place.search(
        "name=modelled",
        "testbed=virtual-time",
        "search.trials=1",
        f"workload.path={file}",
        *MODELLED,
        timeout=1500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = history_of(place.results / "modelled/ledger.jsonl").records[0]
    assert (record.outcome, record.reason) == ("ok", "")
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
