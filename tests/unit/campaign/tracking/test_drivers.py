"""Runs of campaigns whose driver is dead: ended by whoever opens the store next, and no others."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from campaign.tracking.drivers import DRIVERS, driving, end_abandoned
from campaign.tracking.mlflow_tracker import Tracker
from campaign.tracking.store import DATABASE
from tests.samples import campaign_samples


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory):
    """A store with the campaigns `dead` and `alive`, of two trials each, as a driver leaves them
    that is killed."""
    folder = tmp_path_factory.mktemp("store") / "mlruns"
    with driving(folder, "dead"), driving(folder, "alive"):
        for name in ("dead", "alive"):
            tracker = Tracker(folder, name, f"name: {name}")
            tracker.start()
            for one in campaign_samples(2):
                tracker.log(one.record)
    return folder


@pytest.fixture
def own_runs(mlruns):
    """Give the state of the campaigns' own runs; at first they are as their drivers left them."""
    with closing(sqlite3.connect(mlruns / DATABASE)) as store, store:
        store.execute(f"UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE {OWN}")

    def states():
        with closing(sqlite3.connect(mlruns / DATABASE)) as store:
            found = store.execute(f"SELECT name, status, end_time FROM runs WHERE {OWN}")
            return {name: (status, ended) for name, status, ended in found}

    return states


OWN = "name IN ('dead', 'alive')"
RUNNING = ("RUNNING", None)
ENDED = ("KILLED", round(max(one.record.ended for one in campaign_samples(2)) * 1000))


def test_a_run_whose_driver_is_dead_ends_when_its_last_trial_did(mlruns, own_runs):
    with driving(mlruns, "alive"):
        assert end_abandoned(mlruns) == ["dead"]
        assert own_runs() == {"dead": ENDED, "alive": RUNNING}
    assert list((mlruns / DRIVERS).iterdir()) == []
    assert end_abandoned(mlruns) == ["alive"] and end_abandoned(mlruns) == []


def test_the_next_campaign_in_the_store_ends_it(mlruns, own_runs):
    with driving(mlruns, "alive"):
        Tracker(mlruns, "next", "name: next").start()
    assert own_runs() == {"dead": ENDED, "alive": RUNNING}


def test_trials_that_are_half_logged_are_left_to_who_completes_them(mlruns, own_runs):
    with closing(sqlite3.connect(mlruns / DATABASE)) as store:
        before = store.execute("SELECT run_uuid FROM runs WHERE name = 'trial 1'").fetchall()
        with store:
            store.execute("UPDATE runs SET status = 'RUNNING' WHERE name = 'trial 1'")
        end_abandoned(mlruns)
        half = store.execute("SELECT run_uuid FROM runs WHERE status = 'RUNNING'").fetchall()
    assert half == before != []


def test_a_campaign_that_was_killed_before_its_first_trial_ends_when_it_began(mlruns):
    tracker = Tracker(mlruns, "early", "name: early")
    run = tracker.start()
    assert "early" in end_abandoned(mlruns)
    with closing(sqlite3.connect(mlruns / DATABASE)) as store:
        query = "SELECT status, end_time - start_time FROM runs WHERE run_uuid = ?"
        assert store.execute(query, (run,)).fetchone() == ("KILLED", 0)


def test_a_killed_process_shows_no_living_driver(mlruns, own_runs):
    held = (
        "import sys, time\nfrom pathlib import Path\n"
        "from campaign.tracking.drivers import driving\n"
        "with driving(Path(sys.argv[1]), 'dead'):\n    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", held, str(mlruns)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        process.stdout.readline()
        end_abandoned(mlruns)
        assert own_runs()["dead"] == RUNNING
        process.kill()
    assert end_abandoned(mlruns) == ["dead"]


def test_what_is_no_store_or_cannot_be_written_stops_nobody(tmp_path):
    assert end_abandoned(tmp_path) == [] and list(tmp_path.iterdir()) == []
    (tmp_path / "mlruns").write_text("a file")
    with driving(tmp_path / "mlruns", "x"):
        assert end_abandoned(tmp_path / "mlruns") == []
