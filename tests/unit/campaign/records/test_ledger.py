"""The ledger file: torn and foreign lines, one holder, a full disk; and what its events add up
to."""

import errno
import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest

from campaign.core.errors import LedgerError, StorageError
from campaign.records.ledger import History, Ledger, history_of, read

POINT = {"cluster.nodes": 3}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "demo" / "ledger.jsonl"


def record(number, outcome="ok", attempt=1):
    return {"number": number, "point": POINT, "attempt": attempt, "outcome": outcome}


def write_three(path):
    with Ledger(path) as ledger:
        ledger.append("campaign", name="demo", config={})
        ledger.append("asked", trial=0, point=POINT, attrs={"note": "é"})
        ledger.append("started", trial=0, attempt=1)


def history(*events):
    told = History()
    for kind, *rest in events:
        if kind == "asked":
            told.add({"event": kind, "trial": rest[0], "point": POINT, "attrs": {}})
        elif kind == "finished":
            told.add({"event": kind, "trial": rest[0], "record": record(*rest)})
        else:
            told.add({"event": kind})
    return told


def test_what_is_appended_is_read_again(path):
    write_three(path)
    with Ledger(path) as ledger:
        again = ledger.history
    assert again.head["name"] == "demo"
    assert again.asked[0].point == POINT and again.asked[0].attrs == {"note": "é"}
    assert again.attempts == {0: 1}
    assert history_of(path) == again


def test_an_event_is_on_the_disk_when_append_returns(path):
    with Ledger(path) as ledger:
        ledger.append("campaign", name="demo")
        assert [event["event"] for event in read(path)] == ["campaign"]


def test_a_line_torn_anywhere_never_happened_and_is_cut_off(path):
    write_three(path)
    whole = path.read_bytes()
    before_last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(before_last, len(whole)):
        path.write_bytes(whole[:end])
        with Ledger(path) as ledger:
            assert ledger.history.asked and not ledger.history.attempts, end
            ledger.append("started", trial=0, attempt=2)
        events = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert [event["event"] for event in events] == ["campaign", "asked", "started"], end
        assert events[-1]["attempt"] == 2


@pytest.mark.parametrize(
    "garbage", [b"\x00\xff\n", b"{}\n", b"[1]\n", b"null\n", b'{"event":\n', b"\n"]
)
def test_a_foreign_line_in_the_middle_is_named(path, garbage):
    write_three(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], garbage, *lines[1:]]))
    with pytest.raises(LedgerError, match="line 2 is not a valid ledger event"), Ledger(path):
        pass


def test_an_event_of_another_version_is_named_too(path):
    write_three(path)
    with path.open("ab") as file:
        file.write(b'{"event":"paused"}\n{"event":"asked"}\n')
    with pytest.raises(LedgerError, match="line 4"), Ledger(path):
        pass


def test_a_ledger_that_could_not_be_read_is_let_go(path):
    write_three(path)
    whole = path.read_bytes()
    path.write_bytes(b"garbage\n" + whole)
    ledger = Ledger(path)
    with pytest.raises(LedgerError):
        ledger.__enter__()
    path.write_bytes(whole)
    with Ledger(path) as again:
        assert again.history.head


def test_only_one_process_holds_a_ledger(path):
    hold = "import sys; from pathlib import Path; from campaign.records.ledger import Ledger\n"
    hold += "with Ledger(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LedgerError, match="another process runs this campaign"), Ledger(path):
            pass
    finally:
        other.communicate("")
    with Ledger(path):
        pass


@contextmanager
def disk_of(size):
    """Let no file of this process grow beyond `size` bytes. Python ignores SIGXFSZ, so writing
    fails with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("spare", [0, 1, 40])
def test_a_full_disk_is_an_error_and_leaves_a_readable_ledger(path, spare):
    write_three(path)
    size = path.stat().st_size
    with Ledger(path) as ledger:
        with (
            disk_of(size + spare),
            pytest.raises(StorageError, match="can't be written") as caught,
        ):
            ledger.append("started", trial=0, attempt=2)
        assert "start the same command again" in caught.value.resolution
        assert ledger.history.attempts == {0: 1}
    assert path.stat().st_size == size
    with Ledger(path) as ledger:
        assert ledger.history.attempts == {0: 1}


def test_a_disk_that_is_full_at_the_flush_leaves_no_line(path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_three(path)
    before = path.read_bytes()
    with Ledger(path) as ledger:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            ledger.append("started", trial=0, attempt=2)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LedgerError, match="can't be opened"),
        Ledger(tmp_path / "file" / "ledger.jsonl"),
    ):
        pass


@pytest.mark.parametrize("content", [None, b"", b'{"event":"cam'])
def test_there_is_no_campaign_before_its_first_line(path, content):
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(LedgerError, match="there is no campaign"):
        history_of(path)


@pytest.mark.parametrize(
    ("outcomes", "settled"),
    [
        ([], False),
        (["ok"], True),
        (["stalled"], True),
        (["scheduler_failed"], True),
        (["invalid"], False),
        (["invalid", "invalid"], True),
        (["infrastructure_failed"], False),
        (["infrastructure_failed", "infrastructure_failed"], True),
        (["invalid", "ok"], True),
    ],
)
def test_a_trial_is_settled_by_a_result_or_by_its_last_retry(outcomes, settled):
    told = history(("asked", 0), *(("finished", 0, outcome) for outcome in outcomes))
    assert told.settled(0, retries=1) is settled


def test_an_error_that_no_attempt_escapes_settles_a_trial_until_the_campaign_is_resumed():
    hopeless = {**record(0, "infrastructure_failed"), "retryable": False}
    failed = {"event": "finished", "trial": 0, "record": hopeless}
    told = history(("asked", 0))
    told.add(failed)
    assert told.settled(0, retries=1)
    told.add({"event": "resumed"})
    assert not told.settled(0, retries=1)
    told.add(failed)
    assert told.settled(0, retries=1)


def test_a_resume_forgives_the_platform_but_not_measurements():
    failed = [("finished", 0, "infrastructure_failed")] * 2
    assert not history(("asked", 0), *failed, ("resumed",)).settled(0, retries=1)
    assert history(("asked", 0), *failed, ("resumed",), *failed).settled(0, retries=1)
    assert history(("asked", 0), *[("finished", 0, "invalid")] * 2, ("resumed",)).settled(
        0, retries=1
    )


def test_what_lasts_is_settled_whatever_a_resume_forgives():
    failed = [("finished", 1, "infrastructure_failed")] * 2
    told = history(
        ("asked", 0),
        ("asked", 1),
        ("asked", 2),
        ("finished", 0, "ok"),
        *failed,
        ("finished", 2, "invalid"),
    )
    assert told.settled(1, retries=1)
    assert told.lasting(retries=1) == 1
    assert told.lasting(retries=0) == 2


def test_the_last_record_of_a_trial_counts():
    told = history(("finished", 1, "invalid"), ("finished", 0, "ok"), ("finished", 1, "ok", 2))
    assert [(r.number, r.attempt, r.outcome) for r in told.final()] == [(0, 1, "ok"), (1, 2, "ok")]
