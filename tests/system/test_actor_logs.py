"""The log of a host's actor that is killed in mid-trial: it is in the results folder, names trial
and phase, and ends where the actor died."""

import json
import os
import re
import signal
import time

import pytest

from actors.hypervisor.process import arguments
from campaign.records.ledger import history_of
from tests.processes import tree
from tests.system.driver import Driver

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1500)]

SETTINGS = (
    "name=logs",
    "cluster.start=cold",
    "cluster.nodes=1",
    "cluster.slots_per_node=2",
    "workload.jobs=6",
    "workload.duration_s=20",
    "search.trials=1",
    "search.retries=2",
    # Emulated nodes on a busy machine.
    "validity.max_native_gap_s=30",
    "validity.max_submit_lag_s=60",
    "validity.max_clock_error_s=2",
)
UNSEEN_S = 15.0
"""A host's actor logs the states of nodes at least every 5 s; a busy machine is late."""


def actor_of(driver):
    """The process of the host's actor, among all that the driver has started."""
    (found,) = [
        pid
        for pid in tree(driver.process.pid)
        if " ".join(arguments(pid)).startswith("ray::HostActor")
    ]
    return found


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log_of_an_actor_that_was_killed_is_home_and_ends_where_it_died(workplace, bundle):
    driver = Driver(workplace.command(*SETTINGS))
    driver.until(
        lambda said: re.search(r"trial 0 replaying .* [1-9] of 6 jobs done", "".join(said)),
        seconds=600,
    )
    victim = actor_of(driver)
    killed_at = time.time()
    os.kill(victim, signal.SIGKILL)
    said = driver.finish(seconds=900)
    (record,) = history_of(workplace.results / "logs/ledger.jsonl").final()
    assert (record.outcome, record.attempt) == ("ok", 2), said

    folder = workplace.results / "logs/logs"
    hosts = sorted(folder.glob("host-local-*.jsonl"))
    (dead,) = [path for path in hosts if path.stem.endswith(f"-{victim}")]
    lines = records(dead)
    last = lines[-1]
    assert (last["campaign"], last["trial"], last["phase"]) == ("logs", 0, "workload")
    assert last["host"] == "local" and last["cluster"].startswith("logs-t0-")
    assert last["message"].startswith("nodes: head running, n1 running")
    assert killed_at - UNSEEN_S < last["time"] <= killed_at
    done = {(line.get("phase"), line.get("span")) for line in lines}
    assert {("started", "starting 2 nodes")} <= done, done

    # The life after it, and both attempts' clusters, whose actors ended otherwise.
    (following,) = [path for path in hosts if path != dead]
    assert records(following)[-1]["span"] == "closing host local"
    clusters = sorted(folder.glob("cluster-local-slurm-*.jsonl"))
    assert len(clusters) == 2
    for path in clusters:
        assert {line["trial"] for line in records(path) if "phase" in line} == {0}
    assert records(folder / "driver.jsonl")
    assert not list(workplace.state_dir.glob("logs/*")), "what is home is removed on the host"
    assert workplace.leftovers() == []
