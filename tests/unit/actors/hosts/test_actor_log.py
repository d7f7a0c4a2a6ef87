"""Where actors write their logs, and how others read them."""

import contextlib
import json
import logging
import os
import time

import pytest

from actors.hosts import actor_log
from actors.hosts.actor_log import LogPlace, sweep_logs
from campaign.core import log

LOGGER = logging.getLogger("actors.test")


@pytest.fixture
def life(monkeypatch):
    """The life of an actor's process, which ends with the test."""
    with contextlib.ExitStack() as stack:
        monkeypatch.setattr(actor_log, "_LIFE", stack)
        yield stack


@pytest.fixture
def place(tmp_path):
    return LogPlace(str(tmp_path / "state"), "demo-1234")


def test_each_life_of_an_actor_has_a_file_that_is_written_at_once(life, place):
    place.begin("host-anna")
    LOGGER.debug("alive")
    (name,) = place.sizes()
    assert name.startswith("host-anna-") and name.endswith(f"-{os.getpid()}.jsonl")
    line = place.chunk(name, 0)
    assert json.loads(line)["message"] == "alive"
    assert place.sizes() == {name: len(line)}
    assert place.chunk(name, len(line)) == b""


def test_a_place_that_cannot_be_written_costs_the_log_only(life, tmp_path):
    (tmp_path / "file").write_text("")
    LogPlace(str(tmp_path / "file"), "demo").begin("host-anna")
    LOGGER.debug("alive")


def test_a_tilde_is_the_home_folder_of_whoever_writes(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LogPlace("~/state", "demo").folder == tmp_path / "state/logs/demo"


@pytest.mark.parametrize("name", ["../../secret.jsonl", "driver.jsonl", "host-/etc.jsonl", ""])
def test_only_logs_of_actors_are_read_or_removed(place, name):
    with pytest.raises(ValueError, match="not the name of an actor's log"):
        place.chunk(name, 0)
    with pytest.raises(ValueError, match="not the name of an actor's log"):
        place.remove({name: 0})


def test_what_has_grown_is_not_removed(place):
    place.folder.mkdir(parents=True)
    for name in ("host-a-1.jsonl", "host-a-2.jsonl"):
        (place.folder / name).write_bytes(b"{}\n")
    place.remove({"host-a-1.jsonl": 3, "host-a-2.jsonl": 2, "host-a-3.jsonl": 7})
    assert place.sizes() == {"host-a-2.jsonl": 3}
    place.remove({"host-a-2.jsonl": 3})
    assert not place.folder.exists()


def test_logs_that_nobody_brings_home_are_removed_some_day(place, tmp_path):
    place.folder.mkdir(parents=True)
    new = place.folder / "host-a-2.jsonl"
    old = place.folder / "host-a-1.jsonl"
    for path in (new, old):
        path.write_bytes(b"{}\n")
    now = time.time()
    os.utime(old, (now - actor_log.KEPT_S - 60,) * 2)
    sweep_logs(tmp_path / "state", now)
    assert list(place.sizes()) == [new.name]
    sweep_logs(tmp_path / "state", now + actor_log.KEPT_S + 60)
    assert not place.folder.exists()


def test_a_long_life_is_bounded(life, place, monkeypatch):
    monkeypatch.setattr(log, "SEGMENT_BYTES", 2000)
    place.begin("cluster-anna-slurm-1")
    for number in range(500):
        LOGGER.debug("record %d", number)
    sizes = place.sizes()
    assert len(sizes) == log.KEPT_SEGMENTS and sum(sizes.values()) < 12_000
    assert any(b"record 499" in place.chunk(name, 0) for name in sizes)
