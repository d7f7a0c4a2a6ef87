"""The exchange and the task: what the host writes is what the guest reads, and the other way."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from campaign.core.errors import InfrastructureError
from campaign.guest.agent.channel import CONTENT, PAGE, page_checksum
from campaign.guest.exchange import (
    ALIGNMENT,
    RESERVED,
    SIZE,
    ExchangeError,
    GuestProgress,
    create,
    read_progress,
    read_result,
)
from campaign.guest.task import (
    AGENT,
    REPLAY_FILES,
    RESULT,
    TASK,
    GuestFile,
    GuestReplay,
    GuestStage,
    GuestTask,
    archive_of,
    pack,
    unpack,
)
from schedulers.base import Probe, Unit


def progress_page(text: bytes) -> bytes:
    return (page_checksum(text) + b" " + text).ljust(PAGE, b"\0")


def replay() -> GuestReplay:
    return GuestReplay(
        archive=b"scripts",
        submit_command=("submit",),
        lines={1: 2},
        jobs_file="/jobs",
        submits_file="/submits",
        done_file="/done",
        pending_command=("pending",),
        idle_command=("idle",),
        longest_s=10.0,
        stall_s=5.0,
        deadline_s=100.0,
    )


def test_a_guest_has_room_for_its_result_before_it_runs(tmp_path: Path) -> None:
    """QEMU would be killed by the first write that the host's disk has no room for."""
    create(tmp_path / "exchange", b"task", 1)
    found = (tmp_path / "exchange").stat()
    assert found.st_size == SIZE and RESERVED <= 512 * found.st_blocks < SIZE


def test_an_exchange_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="another program has removed it") as raised:
        read_progress(tmp_path / "exchange")
    assert str(tmp_path / "exchange") in raised.value.details


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"nothing",
        b'{"number": 1}',
        b'{"number": 1, "state": "lost", "phase": "", "virtual_s": 1}',
        b'{"number": 1, "state": "done", "phase": "", "virtual_s": 1, "length": -1}',
        b'{"number": 1, "state": "running", "phase": "", "virtual_s": Infinity}',
    ],
)
def test_a_page_with_a_right_sum_may_be_wrong_all_the_same(text: bytes) -> None:
    with pytest.raises(ExchangeError, match="progress can't be read"):
        read_progress(bytes(PAGE) + progress_page(text))


def test_an_exchange_holds_its_task_behind_a_page_that_says_how_long_it_is(tmp_path: Path) -> None:
    path = tmp_path / "exchange"
    create(path, b"task", 3, size=ALIGNMENT)
    content = path.read_bytes()
    assert len(content) == ALIGNMENT
    assert json.loads(content[:PAGE].rstrip(b"\0")) == {"number": 3, "length": 4}
    assert content[CONTENT : CONTENT + 4] == b"task"
    assert read_progress(path) is None


def test_an_exchange_that_is_too_small_or_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "exchange"
    with pytest.raises(ExchangeError, match="doesn't fit"):
        create(path, b"x" * ALIGNMENT, 0, size=ALIGNMENT)
    assert not path.exists()
    create(path, b"", 0)
    with pytest.raises(FileExistsError):
        create(path, b"", 0)


def test_progress_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    text = json.dumps({"number": 1, "state": "running", "phase": "p", "virtual_s": 2.5}).encode()
    page = bytes(PAGE) + progress_page(text)
    assert read_progress(page) == GuestProgress(1, "running", "p", 2.5)
    assert read_progress(page.replace(b"2.5", b"2.6")) is None


def test_a_result_is_read_once_the_guest_is_done(tmp_path: Path) -> None:
    path = tmp_path / "exchange"
    create(path, b"the task of before", 1, size=ALIGNMENT)
    with pytest.raises(ExchangeError, match="no result"):
        read_result(path)
    for length, state in ((6, "running"), (6, "done"), (ALIGNMENT, "done")):
        told = {"number": 1, "state": state, "phase": "p", "virtual_s": 1.0, "length": length}
        with path.open("r+b") as file:
            file.seek(PAGE)
            file.write(progress_page(json.dumps(told).encode()) + b"result")
        if (state, length) == ("done", 6):
            assert read_result(path) == b"result"
        else:
            with pytest.raises(ExchangeError):
                read_result(path)


def test_a_task_is_packed_with_its_agent_and_archives_apart() -> None:
    task = GuestTask(
        stages=(
            GuestStage("one", "true"),
            GuestStage(
                "two",
                "cat",
                b"files",
                (Probe("answers", ("ask",), "yes", 3.0),),
                (Unit("u.service"),),
            ),
        ),
        replay=replay(),
        files=(GuestFile("/log"),),
    )
    packed = pack(task)
    assert packed == pack(task)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
    assert members["stage1.tar"] == b"files"
    assert members[REPLAY_FILES] == b"scripts"
    assert members[AGENT].startswith(b'"""')
    told = json.loads(members[TASK])
    assert told["stages"][1]["probes"][0]["expect"] == "yes"
    assert told["replay"]["lines"] == {"1": 2}


def test_a_result_comes_back_with_its_files() -> None:
    told = {"number": 2, "reason": "stalled", "brief": "why", "outputs": {"version": "1"}}
    content = archive_of({RESULT: json.dumps(told).encode(), "files/var/log/x": b"a line"})
    result = unpack(content, GuestTask(files=(GuestFile("/var/log/x", 4), GuestFile("/none"))))
    assert (result.number, result.reason, result.brief) == (2, "stalled", "why")
    assert result.outputs == {"version": "1"}
    assert result.files == {"/var/log/x": b"line"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tar",
        archive_of({RESULT: b"{}"}),
        archive_of({}),
        archive_of({RESULT: b'{"number": 1, "reason": "ok", "outputs": [1]}'}),
    ],
)
def test_a_result_that_is_none_is_an_error_of_the_guest(content: bytes) -> None:
    with pytest.raises(InfrastructureError, match=r"result of a guest|archive of the node"):
        unpack(content, GuestTask())


def test_a_result_has_no_file_that_was_not_asked_for() -> None:
    content = archive_of(
        {
            RESULT: json.dumps({"number": 1, "reason": "ok"}).encode(),
            "files/../../home/x": b"",
            "files/log": b"",
        }
    )
    assert unpack(content, GuestTask(files=(GuestFile("/log"),))).files == {"/log": b""}
