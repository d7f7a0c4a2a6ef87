"""The log: every record says what it is about, steps have durations, and nothing secret shows."""

import asyncio
import json
import logging

import pytest

from campaign.core import log

LOGGER = logging.getLogger("campaign.test")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_says_what_it_is_about(tmp_path):
    with log.to_file(tmp_path / "log.jsonl"), log.context(campaign="demo", trial=3):
        with log.context(host="local"):
            LOGGER.info("inside %s", "both")
        LOGGER.info("inside one")
    both, one = lines(tmp_path / "log.jsonl")
    assert both["message"] == "inside both"
    assert (both["campaign"], both["trial"], both["host"]) == ("demo", 3, "local")
    assert one["trial"] == 3 and "host" not in one


def test_tasks_and_threads_inherit_what_they_are_about(tmp_path):
    async def work():
        with log.context(trial=7):
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(LOGGER.info, "in a thread"))

    with log.to_file(tmp_path / "log.jsonl"):
        asyncio.run(work())
    assert lines(tmp_path / "log.jsonl")[0]["trial"] == 7


def test_a_step_is_logged_with_its_duration_also_when_it_fails(tmp_path):
    with log.to_file(tmp_path / "log.jsonl"):
        with log.span(LOGGER, "booting"):
            pass
        with pytest.raises(RuntimeError), log.span(LOGGER, "joining"):
            raise RuntimeError("no")
    begin, end, _, failed = lines(tmp_path / "log.jsonl")
    assert begin["event"] == "begin" and end["event"] == "end" and end["duration_s"] >= 0
    assert failed["event"] == "failed" and failed["span"] == "joining" and "duration_s" in failed


def test_a_kept_secret_shows_nowhere(tmp_path):
    log.keep_secret("hunter2-hunter2")
    with log.to_file(tmp_path / "log.jsonl"):
        LOGGER.info("the token is %s", "hunter2-hunter2")
        LOGGER.info("a token", extra={"data": {"environment": {"TOKEN": "hunter2-hunter2"}}})
        try:
            raise RuntimeError("hunter2-hunter2")
        except RuntimeError:
            LOGGER.exception("it failed")
    assert "hunter2" not in (tmp_path / "log.jsonl").read_text()
    assert log.MASK in (tmp_path / "log.jsonl").read_text()


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="8 characters"):
        log.keep_secret("abc")


def test_only_its_user_may_read_the_file(tmp_path):
    with log.to_file(tmp_path / "log.jsonl"):
        pass
    assert (tmp_path / "log.jsonl").stat().st_mode & 0o077 == 0


def test_a_name_that_no_record_has_is_refused():
    with pytest.raises(ValueError, match="colour"), log.context(colour="red"):
        pass


def test_without_handlers_the_loggers_are_as_before(tmp_path):
    with log.to_file(tmp_path / "log.jsonl"):
        assert not logging.getLogger("campaign").propagate
    ours = [logging.getLogger(name) for name in log.PACKAGES]
    assert all(one.propagate and one.level == logging.NOTSET for one in ours)


def test_what_changes_meanwhile_is_asked_for_at_each_record_also_by_older_tasks(tmp_path):
    phase = ["booting"]

    async def watch(changed):
        LOGGER.info("before")
        await changed.wait()
        LOGGER.info("after")

    async def live():
        changed = asyncio.Event()
        with log.context(phase=lambda: phase[0]):
            watcher = asyncio.create_task(watch(changed))
            await asyncio.sleep(0)
            phase[0] = "joining"
            changed.set()
            await watcher

    with log.to_file(tmp_path / "log.jsonl"):
        asyncio.run(live())
    assert [line["phase"] for line in lines(tmp_path / "log.jsonl")] == ["booting", "joining"]


def test_a_long_log_goes_on_in_other_files_of_which_the_last_are_kept(tmp_path):
    limit = 10_000
    with log.to_file(tmp_path / "actor.jsonl", segment_bytes=limit):
        for number in range(1000):
            LOGGER.info("record %d", number)
    files = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert len(files) == log.KEPT_SEGMENTS and not (tmp_path / "actor.jsonl").exists()
    assert all(path.stat().st_size < limit + 1000 for path in files)
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    *full, last = files
    for path, following in zip(full, files[1:], strict=True):
        assert lines(path)[-1]["message"] == f"the log goes on in {following.name}"
    assert lines(last)[-1]["message"] == "record 999"
    kept = [line["message"] for path in files for line in lines(path)]
    numbers = [int(text.split()[1]) for text in kept if text.startswith("record")]
    assert numbers == list(range(numbers[0], 1000))


def test_a_full_disk_costs_records_and_nothing_else(tmp_path, monkeypatch):
    def full(self, following):
        raise OSError("no space left")

    monkeypatch.setattr(log._SegmentHandler, "_go_on", full)
    with log.to_file(tmp_path / "actor.jsonl", segment_bytes=100):
        LOGGER.info("one %s", "x" * 100)
        LOGGER.info("two")
    assert len(lines(tmp_path / "actor.jsonl")) == 2


def test_when_our_last_handler_goes_loggers_are_as_before_also_beside_those_of_others(tmp_path):
    logger = logging.getLogger("campaign")
    others = logging.NullHandler()
    with log.to_file(tmp_path / "one.jsonl"):
        with log.to_file(tmp_path / "two.jsonl"):
            logger.addHandler(others)
        assert (logger.level, logger.propagate) == (logging.DEBUG, False)
    assert (logger.level, logger.propagate) == (logging.NOTSET, True)
    logger.removeHandler(others)


def test_the_last_bytes_of_a_disk_are_left_to_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "RESERVED_BYTES", 2**62)
    with log.to_file(tmp_path / "log.jsonl"):
        LOGGER.info("there is no room for this")
    assert (tmp_path / "log.jsonl").read_text() == ""
