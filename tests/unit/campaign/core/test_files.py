"""Atomic writes: a reader sees the old file or the whole new one, and nothing is left behind."""

import os
import stat
from pathlib import Path

import pytest

from campaign.core import files


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


def test_the_mode_is_what_was_asked_for_less_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "open", "")
        files.write_atomically(tmp_path / "private", "", mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
