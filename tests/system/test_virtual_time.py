"""Campaigns of real schedulers in virtual time: they end well, and a point has one result."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from campaign.core.jobs import JOBS_SCHEMA
from campaign.records.dataset import path_of
from campaign.records.ledger import history_of
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
    """The settings of a campaign of Flux; the test is skipped where its files aren't provided."""
    bundle_of("flux")
    return ("scheduler=flux", "search.trials=1")


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
    assert first.num_rows == 15 and not first.column("native_start_s").null_count
    assert first.column("nodes").equals(again.column("nodes"))
    assert apart_s(first, again).max() < 0.1
