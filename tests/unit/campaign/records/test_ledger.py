"""The ledger file: torn and foreign lines, one holder, a full disk; and what its events add up
to."""

import errno
import json
import os
import random
import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest

from campaign.core.errors import LedgerError, StorageError
from campaign.core.trials import Replicate
from campaign.records.history import History
from campaign.records.ledger import Ledger, history_of, read

POINT = {"cluster.nodes": 3}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "demo" / "ledger.jsonl"


def record(number, outcome="ok", attempt=1):
    return {"number": number, "point": POINT, "attempt": attempt, "outcome": outcome}


def write_three(path):
    with Ledger(path) as ledger:
        ledger.append("campaign", id="d3", name="demo", config={})
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
    assert again.attempts == {Replicate(0): 1}
    assert history_of(path) == again


def test_an_event_is_on_the_disk_when_append_returns(path):
    with Ledger(path) as ledger:
        ledger.append("campaign", id="d3", name="demo", config={})
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
        assert ledger.history.attempts == {Replicate(0): 1}
    assert path.stat().st_size == size
    with Ledger(path) as ledger:
        assert ledger.history.attempts == {Replicate(0): 1}


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
    assert (not told.due(0, retries=1)) is settled


def test_an_error_that_no_attempt_escapes_settles_a_trial_until_the_campaign_is_resumed():
    hopeless = {**record(0, "infrastructure_failed"), "retryable": False}
    failed = {"event": "finished", "trial": 0, "record": hopeless}
    told = history(("asked", 0))
    told.add(failed)
    assert not told.due(0, retries=1)
    told.add({"event": "resumed"})
    assert told.due(0, retries=1)
    told.add(failed)
    assert not told.due(0, retries=1)


def test_a_resume_forgives_the_platform_but_not_measurements():
    failed = [("finished", 0, "infrastructure_failed")] * 2
    invalid = [("finished", 0, "invalid")] * 2
    assert history(("asked", 0), *failed, ("resumed",)).due(0, retries=1)
    assert not history(("asked", 0), *failed, ("resumed",), *failed).due(0, retries=1)
    assert not history(("asked", 0), *invalid, ("resumed",)).due(0, retries=1)


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
    assert not told.due(1, retries=1)
    assert told.lasting(retries=1) == 1
    assert told.lasting(retries=0) == 2


def test_the_last_record_of_a_trial_counts():
    told = history(("finished", 1, "invalid"), ("finished", 0, "ok"), ("finished", 1, "ok", 2))
    assert [(r.number, r.attempt, r.outcome) for r in told.final()] == [(0, 1, "ok"), (1, 2, "ok")]


def long_ledger(path, trials=6):
    with Ledger(path) as ledger:
        ledger.append("campaign", id="d3", name="demo", config={})
        for number in range(trials):
            ledger.append("asked", trial=number, point=POINT, attrs={"note": "é"})
            ledger.append("started", trial=number, attempt=1)
            ledger.append(
                "finished",
                trial=number,
                record={**record(number), "metrics": {"awrt_s": 5.25 * number}},
                jobs_sha256="",
            )
    return path.read_bytes()


def as_written_before(content):
    """The lines as versions wrote them that had no checksums."""
    events = [json.loads(line) for line in content.splitlines()]
    for event in events:
        del event["n"], event["hash"]
    return b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)


def assert_found(path):
    with pytest.raises(LedgerError, match=r"line \d+ is not a valid ledger event"), Ledger(path):
        pass
    with pytest.raises(LedgerError):
        history_of(path)


def test_a_flipped_bit_anywhere_is_found(path, flips):
    whole = long_ledger(path)
    draw = random.Random(7)
    for _ in range(flips):
        bit = draw.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert_found(path)
        assert path.read_bytes() == damaged, bit


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_the_last_line_s_end_is_no_torn_line(path, bit):
    whole = long_ledger(path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1 << bit]))
    assert_found(path)


def test_a_flipped_bit_in_a_head_that_stands_alone_is_found(path):
    whole = long_ledger(path, trials=0)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert_found(path)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: lines[1:], 1),
        (lambda lines: lines[:4] + lines[5:], 5),
        (lambda lines: [*lines[:5], lines[4], *lines[5:]], 6),
        (lambda lines: [*lines[:4], lines[7], *lines[5:7], lines[4], *lines[8:]], 5),
        (lambda lines: [*lines, lines[0]], 20),
    ],
    ids=["no head", "lost", "doubled", "moved", "two heads"],
)
def test_lines_that_are_lost_doubled_or_moved_are_found(path, change, line, old):
    whole = long_ledger(path)
    lines = (as_written_before(whole) if old else whole).splitlines(keepends=True)
    path.write_bytes(b"".join(change(lines)))
    with pytest.raises(LedgerError, match=f"line {line} is not"), Ledger(path):
        pass


def test_a_ledger_of_an_earlier_version_goes_on_and_is_covered_from_then_on(path):
    old = as_written_before(long_ledger(path))
    path.write_bytes(old)
    with Ledger(path) as ledger:
        assert len(ledger.history.records) == 6
        ledger.append("resumed")
    with Ledger(path) as ledger:
        ledger.append("asked", trial=6, point=POINT, attrs={})
    assert history_of(path).asked[6].point == POINT
    path.write_bytes(path.read_bytes().replace(b"5.25", b"5.35"))
    with pytest.raises(LedgerError, match=r"line 20 .* were changed"), Ledger(path):
        pass


def test_a_line_without_checksum_among_those_with_one_is_refused(path):
    whole = long_ledger(path)
    path.write_bytes(whole + b'{"event":"resumed","time":1.0}\n')
    with pytest.raises(LedgerError, match=r"line 20 .* it has no checksum"), Ledger(path):
        pass


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"event": "campaign", "config": {}}, "campaign: id: Field required"),
        ({"event": "asked", "trial": -1, "point": {}, "attrs": {}}, "asked for where trial 0"),
        ({"event": "started", "trial": 99, "attempt": 1}, "trial 99 was never asked for"),
        ({"event": "started", "trial": 0, "attempt": "x"}, "never asked for"),
        ({"event": ["asked"]}, "unknown event"),
    ],
)
def test_what_is_wrong_with_an_event_is_said(path, event, why):
    path.parent.mkdir()
    head = [] if event["event"] == "campaign" else [{"event": "campaign", "id": "i", "config": {}}]
    path.write_text("".join(json.dumps(one) + "\n" for one in (*head, event)))
    with pytest.raises(LedgerError, match=why):
        history_of(path)


def test_a_line_that_is_nested_without_end_is_an_error(path):
    path.parent.mkdir()
    path.write_text("[" * 200_000 + "\n")
    with pytest.raises(LedgerError, match="nested too deeply"):
        history_of(path)


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


@pytest.mark.parametrize(
    ("disturb", "what"),
    [
        (replaced, "was replaced by another file"),
        (lambda path: path.unlink(), "was removed"),
        (lambda path: os.truncate(path, 0), "was changed: it has 0 bytes"),
        (lambda path: path.open("ab").write(b"x"), "was changed"),
    ],
)
def test_a_ledger_that_is_disturbed_while_it_runs_is_noticed_at_the_next_line(path, disturb, what):
    with Ledger(path) as ledger:
        ledger.append("campaign", id="d3", name="demo", config={})
        disturb(path)
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(LedgerError, match=what):
            ledger.append("asked", trial=0, point=POINT, attrs={})
        assert ledger.history.asked == {}
        assert (path.read_bytes() if path.exists() else None) == before


def test_a_pipe_is_no_ledger(path):
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(LedgerError, match="is not a file"), Ledger(path):
        pass
