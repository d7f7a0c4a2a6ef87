"""Locks that end with their holder, atomic writes, and a user's paths by the XDG variables."""

import errno
import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from campaign.core import files
from campaign.core.errors import ConfigError, StorageError
from campaign.core.files import XDG_FOLDERS, user_path


def test_text_and_bytes_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "note"
    files.write_atomically(path, "old")
    files.write_atomically(path, "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    files.write_atomically(path, b"\0\1", durable=False)
    assert path.read_bytes() == b"\0\1"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_text("old")
    with files.writing_atomically(path) as file:
        file.write(b"ne")
        file.flush()
        assert path.read_text() == "old"
        file.write(b"w")
    assert path.read_text() == "new"


def test_a_failure_keeps_the_old_file_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.writing_atomically(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_rename_leaves_no_draft(tmp_path: Path) -> None:
    folder = tmp_path / "note"
    folder.mkdir()
    with pytest.raises(OSError):
        files.write_atomically(folder, "text")
    assert list(tmp_path.iterdir()) == [folder]


def test_the_file_and_its_folder_are_flushed_unless_that_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(stat.S_ISDIR(os.fstat(fd).st_mode)))
    files.write_atomically(tmp_path / "note", "text", durable=False)
    assert flushed == []
    files.write_atomically(tmp_path / "note", "text")
    assert flushed == [False, True]


def flushed_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    flushed: list[str] = []

    def flush(descriptor: int) -> None:
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        flushed.append(name)

    monkeypatch.setattr(os, "fsync", flush)
    return flushed


def test_each_folder_that_is_made_is_flushed_in_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = flushed_paths(monkeypatch)
    files.write_durably(tmp_path / "a" / "b" / "note", "text")
    assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")} <= set(flushed)


def test_all_that_is_below_a_folder_is_flushed_before_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "trial"
    (folder / "logs").mkdir(parents=True)
    paths = [folder / "top", folder / "logs" / "head"]
    for path in paths:
        path.write_text("log")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "fifo")
    flushed = flushed_paths(monkeypatch)
    files.make_durable(folder)
    assert set(flushed) == {str(path) for path in (*paths, folder, folder / "logs", tmp_path)}
    assert flushed[-1] == str(tmp_path)


def test_a_folder_in_the_way_is_an_error_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "note").mkdir()
    with pytest.raises(StorageError, match="note can't be written: Is a directory") as caught:
        files.write_durably(tmp_path / "note", "text")
    assert "Move away what stands at" in caught.value.resolution


def test_the_mode_is_what_was_asked_for_less_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "open", "")
        files.write_atomically(tmp_path / "private", "", mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("$XDG_CACHE_HOME/campaign/images", {}, "/home/u/.cache/campaign/images"),
        ("$XDG_CACHE_HOME/campaign", {"XDG_CACHE_HOME": "/big/cache"}, "/big/cache/campaign"),
        ("$XDG_CACHE_HOME/campaign", {"XDG_CACHE_HOME": "relative"}, "/home/u/.cache/campaign"),
        ("$XDG_CACHE_HOME/campaign", {"XDG_CACHE_HOME": ""}, "/home/u/.cache/campaign"),
        ("$XDG_STATE_HOME/campaign", {}, "/home/u/.local/state/campaign"),
        ("$XDG_DATA_HOME/campaign", {}, "/home/u/.local/share/campaign"),
        ("~/.cache/campaign", {"XDG_CACHE_HOME": "/big/cache"}, "/home/u/.cache/campaign"),
        ("/a/$XDG_CACHE_HOME", {"XDG_CACHE_HOME": "/big/cache"}, "/a/$XDG_CACHE_HOME"),
        ("$HOME/x", {}, "$HOME/x"),
        ("XDG_CACHE_HOME/x", {}, "XDG_CACHE_HOME/x"),
    ],
)
def test_a_users_folders_are_where_the_xdg_variables_say(text, environment, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    for name in XDG_FOLDERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(user_path(text)) == expected


@pytest.mark.parametrize("text", ["~there-is-no-such-user/x", "a\0b", "~/\0"])
def test_what_can_be_no_path_is_refused_by_name(text):
    with pytest.raises(ConfigError) as refused:
        user_path(text)
    assert text in refused.value.brief or repr(text) in refused.value.brief


def test_every_path_of_an_option_or_setting_is_expanded():
    root = Path(files.__file__).parents[1]
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "type=Path" not in text, path
        assert not re.search(r"\bPath\((\w+\.)*(output\.\w+|image\.store|state_dir)\)", text), path


def test_drafts_of_killed_writers_are_swept_at_once_and_nothing_else(tmp_path):
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    killed = (
        "import os, sys\nfrom pathlib import Path\nfrom campaign.core import files\n"
        "with files.writing_atomically(Path(sys.argv[1])) as file:\n"
        "    file.write(b'x')\n    os._exit(9)\n"
    )
    for target in (tmp_path / "report.html", jobs / "trial=00000.parquet"):
        subprocess.run([sys.executable, "-c", killed, target], check=False)
    drafts = sorted(path for path in tmp_path.rglob(".*"))
    assert len(drafts) == 2
    kept = [tmp_path / ".lock", tmp_path / "a.1-00000000", jobs / ".x.1-0000000g"]
    for path in kept:
        path.touch()
    pipe = tmp_path / ".pipe.1-00000000"
    os.mkfifo(pipe)
    link = tmp_path / ".link.1-00000000"
    link.symlink_to(kept[0])
    with files.writing_atomically(tmp_path / "report.html") as file:
        file.write(b"whole")
        assert sorted(files.sweep_drafts(tmp_path)) == drafts
    assert (tmp_path / "report.html").read_bytes() == b"whole"
    assert all(path.exists() for path in (*kept, pipe, link))
    assert not any(path.exists() for path in drafts)


def test_a_draft_that_is_swept_before_its_writer_holds_it_is_made_again(tmp_path, monkeypatch):
    flock = fcntl.flock
    swept = []

    def late(descriptor, operation):
        if not swept and not operation & fcntl.LOCK_NB:
            swept.append(None)
            swept.extend(files.sweep_drafts(tmp_path))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    files.write_atomically(tmp_path / "a", "whole")
    assert len(swept) == 2 and (tmp_path / "a").read_text() == "whole"


def test_drafts_are_swept_by_their_age_where_there_are_no_locks(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    files.write_atomically(tmp_path / "a", "whole")
    drafts = [tmp_path / ".young.1-00000000", tmp_path / ".old.1-00000000"]
    for path in drafts:
        path.touch()
    long_ago = time.time() - files.DRAFT_KEPT_S - 60
    os.utime(drafts[1], (long_ago, long_ago))
    assert files.sweep_drafts(tmp_path) == [drafts[1]]
    assert drafts[0].exists()


HOLD = """
import sys, time
from pathlib import Path
from campaign.core import files
with files.exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    project = str(Path(__file__).parents[4])
    command = [sys.executable, "-c", HOLD, str(path)]
    environment = {**os.environ, "PYTHONPATH": project}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        assert files.in_use(path)
        with pytest.raises(BlockingIOError), files.lock(path, fcntl.LOCK_SH | fcntl.LOCK_NB):
            pass
        entered = threading.Event()

        def enter() -> None:
            with files.exclusive_lock(path):
                entered.set()

        waiting = threading.Thread(target=enter)
        waiting.start()
        assert not entered.wait(0.1)
        holder.send_signal(signal.SIGKILL)
        assert entered.wait(30)
        waiting.join()
    assert not files.in_use(path)


def test_a_lock_isnt_kept_by_a_child_that_outlives_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with files.exclusive_lock(path):
        child = subprocess.Popen(["sleep", "600"])
    try:
        assert not files.in_use(path)
    finally:
        child.kill()
        child.wait()


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    inside = []
    most = []

    def work() -> None:
        for _ in range(20):
            with files.exclusive_lock(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    with ThreadPoolExecutor(4) as threads:
        for one in [threads.submit(work) for _ in range(4)]:
            one.result()
    assert max(most) == 1 and len(most) == 80


def test_only_we_may_read_a_lock(tmp_path: Path) -> None:
    with files.exclusive_lock(tmp_path / "lock"):
        assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
