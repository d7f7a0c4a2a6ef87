"""Atomic writes: a reader sees the old file or the whole new one, and nothing is left behind.

And a user's paths: where the XDG variables put them.
"""

import os
import stat
from pathlib import Path

import pytest

from actors.hosts.state_dir import state_dir_of
from campaign.config.compose import compose
from campaign.core import files
from campaign.core.files import XDG_FOLDERS, user_path
from campaign.testbeds.preflight import store_of


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


def test_the_default_folders_move_with_the_variables(monkeypatch, tmp_path):
    """Without the variables they are where they have always been."""
    campaign = compose([]).campaign
    (host,) = campaign.hosts.values()
    monkeypatch.setenv("HOME", "/home/u")
    for name in XDG_FOLDERS:
        monkeypatch.delenv(name, raising=False)
    assert str(store_of(campaign.image).path) == "/home/u/.cache/campaign/images"
    assert str(state_dir_of(host)) == "/home/u/.local/state/campaign"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert store_of(campaign.image).path == tmp_path / "cache/campaign/images"
    assert state_dir_of(host) == tmp_path / "state/campaign"
