"""Ray's files are below a folder that nobody else may enter, and go when their driver is dead."""

import os
import stat
import subprocess
import sys

import pytest

from actors.hosts import ray_folder
from campaign.core.errors import InfrastructureError


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_folder, "_TEMPORARY", tmp_path)
    return tmp_path


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_enter_the_parent(temporary, umask):
    before = os.umask(umask)
    try:
        folder = ray_folder.make()
    finally:
        os.umask(before)
    assert not folder.exists(), "Ray makes it, with modes of its own"
    status = folder.parent.lstat()
    assert stat.S_IMODE(status.st_mode) == 0o700 and status.st_uid == os.geteuid()
    assert folder.parent.parent == temporary
    assert folder.parent.name.startswith(f"campaign-{os.geteuid()}-")


def test_no_two_are_the_same_so_that_nobody_can_make_it_before(temporary):
    assert len({ray_folder.make() for _ in range(8)}) == 8


def test_a_parent_that_is_not_ours_alone_is_not_used(temporary, monkeypatch):
    made = temporary / f"campaign-{os.geteuid()}-x"
    made.mkdir(mode=0o700)
    made.chmod(0o755)
    monkeypatch.setattr(ray_folder.tempfile, "mkdtemp", lambda **_: str(made))
    with pytest.raises(InfrastructureError, match="isn't ours alone"):
        ray_folder.make()


def test_sockets_below_it_fit_into_their_107_characters(monkeypatch):
    monkeypatch.setattr(ray_folder.os, "geteuid", lambda: 2**32 - 2)
    parent = f"/tmp/{ray_folder._prefix()}{'x' * 8}/{ray_folder._SESSION}"
    session = "session_2026-12-31_23-59-59_999999_4194304"
    assert len(f"{parent}/{session}/sockets/plasma_store") <= 107


def test_a_session_is_removed_by_its_own_process_alone(temporary):
    own = ray_folder.make().parent
    another = _dead()
    ray_folder.remove_own()
    assert not own.exists() and another.exists()


def test_what_dead_drivers_left_is_swept_and_what_lives_is_not(temporary):
    own = ray_folder.make().parent
    dead = _dead()
    reused = ray_folder.make().parent
    (reused / "owner").write_text(f"{os.getpid()} 1")
    assert set(ray_folder.sweep()) == {dead, reused}
    assert own.exists() and not dead.exists() and not reused.exists()


def test_one_whose_maker_died_at_once_is_swept_when_it_is_old(temporary):
    young = temporary / f"campaign-{os.geteuid()}-young"
    old = temporary / f"campaign-{os.geteuid()}-old"
    for folder in (young, old):
        folder.mkdir(mode=0o700)
    os.utime(old, (0, 0))
    assert ray_folder.sweep() == [old]
    assert young.exists()


def test_what_others_put_there_is_not_touched(temporary):
    open_to_all = temporary / f"campaign-{os.geteuid()}-open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    link = temporary / f"campaign-{os.geteuid()}-link"
    link.symlink_to(elsewhere)
    (temporary / f"campaign-{os.geteuid()}-file").touch()
    others = temporary / "campaign-999-x"
    others.mkdir(mode=0o700)
    for folder in (open_to_all, elsewhere, others):
        os.utime(folder, (0, 0))
    assert ray_folder.sweep() == []
    assert open_to_all.exists() and elsewhere.exists() and others.exists()


def _dead():
    """The folder of a process that has ended."""
    script = (
        "import pathlib, sys\nfrom actors.hosts import ray_folder\n"
        "ray_folder._TEMPORARY = pathlib.Path(sys.argv[1])\nprint(ray_folder.make().parent)\n"
    )
    command = [sys.executable, "-c", script, str(ray_folder._TEMPORARY)]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return ray_folder.Path(made.stdout.strip())
