"""Fault injection on VMs without any: what is drawn, what is noise, whose processes are hit."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actors.hosts.host_actor import HostActor
from actors.libvirt_testbed import ClusterActor
from campaign.chaos import clusters
from campaign.chaos.environment import NAME, REAL_TIME, VIRTUAL_TIME, ChaosEnvironment
from campaign.chaos.faults import FAULTS, FAULTS_BY_CLOCK, VIRTUAL_FAULTS, drawn
from campaign.core.trials import TrialRecord

ROOT = Path(__file__).parents[4]


def record(awrt_s, makespan_s=20.0, point=None):
    metrics = {"awrt_s": awrt_s, "makespan_s": makespan_s}
    return TrialRecord(number=1, point=point or {"x": 1}, attempt=1, outcome="ok", metrics=metrics)


@pytest.mark.parametrize("clock", FAULTS_BY_CLOCK)
def test_a_seed_draws_its_faults_and_so_many_seeds_draw_every_kind(clock):
    kinds = FAULTS_BY_CLOCK[clock]
    assert drawn(4, clock) == drawn(4, clock) and 2 <= len(drawn(4, clock)) <= 4
    assert {drawn(seed, clock)[0] for seed in range(1, 1 + len(kinds))} == set(kinds)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (record(10), []),
        (record(19), []),
        (record(21), ["trial 1: awrt_s is 21.0, without faults 10.0"]),
        (record(10, makespan_s=60), ["trial 1: makespan_s is 60.0, without faults 20.0"]),
        (
            record(10, point={"x": 2}),
            ["trial 1 was at another point: {'x': 2} instead of {'x': 1}"],
        ),
    ],
)
def test_a_trial_that_is_another_is_noticed(found, said):
    assert list(clusters._differences(found, record(10), REAL_TIME)) == said


def test_in_virtual_time_a_trial_is_another_by_little():
    found = clusters._differences(record(102), record(100), VIRTUAL_TIME)
    assert list(found) == ["trial 1: awrt_s is 102.0, without faults 100.0"]
    assert not list(clusters._differences(record(101), record(100), VIRTUAL_TIME))


def test_files_of_guests_in_virtual_time_are_hit_where_they_are(tmp_path):
    """The files lie where hosts keep them: tests/system sees that these faults hit."""
    environment = ChaosEnvironment(tmp_path, tmp_path / "states", tmp_path, random.Random(1))
    for kind in ("exchange removed", "golden cluster damaged", "guest stopped"):
        assert not VIRTUAL_FAULTS[kind](environment)
    exchange = tmp_path / f"states/east/nodes/{NAME}-t0-abcdef-head/exchange"
    state = tmp_path / "states/east/golden/0123/head.state"
    for path in (exchange, state):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"whole")
    with state.open("rb") as used:
        assert VIRTUAL_FAULTS["exchange removed"](environment) and not exchange.exists()
        assert VIRTUAL_FAULTS["golden cluster damaged"](environment)
        assert used.read() == b"whole" and len(state.read_bytes()) == 5
        assert state.read_bytes() != b"whole"
    assert [path.name for path in state.parent.iterdir()] == ["head.state"]


@pytest.fixture
def environment(tmp_path):
    """An environment whose driver is a process with a child that names itself."""
    child = "import time, sys; print('up', flush=True); time.sleep(60)"
    driver = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, "
        "'ray::HostActor'], stdin=sys.stdin)"
    )
    made = ChaosEnvironment(tmp_path, tmp_path / "states", tmp_path, random.Random(1))
    made.driver = subprocess.Popen(
        [sys.executable, "-c", driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    made.driver.stdout.readline()
    yield made
    for pid in made.processes("ray::HostActor"):
        os.kill(pid, 9)
    made.driver.kill()
    made.driver.communicate()


def test_a_fault_hits_the_campaigns_own_processes_only(environment, tmp_path):
    (found,) = environment.processes("ray::HostActor$")
    assert found != environment.driver.pid
    stranger = ChaosEnvironment(tmp_path, tmp_path / "elsewhere", tmp_path, random.Random(1))
    assert stranger.processes("ray::HostActor") == []
    named = subprocess.Popen(
        [sys.executable, "-c", "input()", str(tmp_path / "elsewhere")], stdin=subprocess.PIPE
    )
    try:
        assert stranger.processes("input") == [named.pid]
    finally:
        named.communicate()


def test_what_is_left_of_a_campaign_is_named(environment, tmp_path, monkeypatch):
    from actors.hypervisor.reaper import Reaped

    monkeypatch.setattr(clusters, "sweep", lambda settings: Reaped(("c-head",), (), ("c-n1",), ()))
    monkeypatch.setattr(clusters.ray_folder, "sweep", list)
    left = list(clusters._left(environment))
    assert left == [
        "east: domain c-head",
        "east: domain c-n1",
        "west: domain c-head",
        "west: domain c-n1",
    ]


def test_processes_that_faults_look_for_bear_these_names(environment, monkeypatch):
    """A fault that looks for a process by a name of the past would never hit anything."""
    patterns = []
    monkeypatch.setattr(environment, "processes", lambda pattern: patterns.append(pattern) or [])
    for kind in ("host's actor killed", "cluster's actor killed", "watchdog killed"):
        assert not FAULTS[kind](environment)
    actors = [f"ray::{one.__name__}.run" for one in (HostActor, ClusterActor)]
    started = (ROOT / "actors/hypervisor/watchdog.py").read_text()
    for pattern, text in zip(patterns, [*actors, started], strict=True):
        assert re.search(pattern, text)
