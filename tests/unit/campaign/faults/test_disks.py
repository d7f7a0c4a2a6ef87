"""Disks that are full, read-only or gone: one message, nothing lost, the same data afterwards."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import ExitStack, contextmanager

import pytest

from campaign.core.exits import MLFLOW_INCOMPLETE
from tests.conftest import CANNOT_RUN_HERE
from tests.fakes.commands import SMALL, Commands
from tests.fakes.surroundings import STRIKES
from tests.unit.campaign.faults.conftest import MORE, TRIALS, Data

# What commands are forked from compiles the simulation first, which takes as long as it takes.
pytestmark = pytest.mark.timeout(900)

KIBIBYTES = (12, 16, 20, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192)
FULL = [*(f"size={size}k" for size in KIBIBYTES), "nr_inodes=9", "nr_inodes=14"]
UNTRACKED = [("untracked",)]


@pytest.fixture
def mounted():
    """Gives a file system in memory with these options at a folder."""
    if os.geteuid() != 0:
        pytest.skip(f"{CANNOT_RUN_HERE}: only root may mount a small file system; run it as root")

    with ExitStack() as stack:

        def mount(folder, options):
            folder.mkdir(exist_ok=True)
            command = ["mount", "-t", "tmpfs", "-o", options, "faults", folder]
            if subprocess.run(command, check=False, capture_output=True).returncode:
                pytest.skip(f"{CANNOT_RUN_HERE}: nothing can be mounted; run it on a machine")
            stack.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
            return folder

        yield mount


def remounted(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def test_a_full_disk_loses_nothing(commands, undisturbed, mounted, tmp_path, kind):
    disk = mounted(tmp_path / "disk", kind)
    words = (f"output.results={disk}",)
    done = commands.search(TRIALS, *words, at=tmp_path, setup=UNTRACKED)
    done.assert_refused("No space left on device")
    remounted(disk, "size=64m,nr_inodes=0")
    again = commands.search(TRIALS, *words, at=tmp_path, setup=UNTRACKED)
    assert again.status == 0, again.said
    assert Data.at(tmp_path, "disk") == undisturbed.data
    assert commands.run("verify", "a", f"--results={disk}", at=tmp_path).status == 0


def test_results_that_cannot_be_written_are_read_all_the_same(
    commands, undisturbed, mounted, tmp_path
):
    disk = mounted(tmp_path / "disk", "size=64m")
    shutil.copytree(undisturbed.place / "results", disk, dirs_exist_ok=True)
    remounted(disk, "ro")
    results = f"--results={disk}"
    settings = ("search", *SMALL, f"output.results={disk}", f"search.trials={MORE}")
    each = [
        settings,
        (*settings, "name=b"),
        ("report", "a", results),
        ("list", results),
        ("verify", "a", results),
    ]
    *writing, listed, verified = commands.run_each(each, at=tmp_path, setup=UNTRACKED)
    for done in writing:
        done.assert_refused("Read-only file system")
    assert (listed.status, verified.status) == (0, 0), verified
    assert Data.at(tmp_path, "disk") == undisturbed.data


STRUCK = [f"{when}: {how}" for when in ("between two lines", "in a trial") for how in STRIKES]


def test_a_campaign_ends_when_its_ledger_is_not_in_place(commands, place, undisturbed, kind):
    when, how = kind.split(": ")
    folder = place / "results/a"
    whole = shutil.copytree(folder, place / "whole")
    strike = ("struck", 3) if when == "between two lines" else ("struck_in_a_trial", TRIALS)
    done = commands.search(MORE, at=place, setup=[*UNTRACKED, (*strike, how, str(folder))])
    done.assert_refused("while this campaign ran")
    if not (folder / "ledger.jsonl").exists():  # and nothing else was made where it was
        assert not folder.exists() or how in ("removed", "moved") or not any(folder.iterdir())
    if how.startswith("its folder is moved"):
        whole = folder.with_name("moved")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    whole.rename(folder)
    assert commands.search(MORE, at=place, setup=UNTRACKED).status == 0
    assert Data.at(place) == undisturbed.extended


@pytest.fixture(scope="module")
def mlflow_commands():
    with Commands(mlflow=True) as known:
        yield known


@pytest.fixture(scope="module")
def made_store(mlflow_commands, tmp_path_factory):
    """A store of MLflow with some other campaign in it."""
    folder = tmp_path_factory.mktemp("made")
    assert mlflow_commands.search(1, at=folder, setup=[("tracked_here",)]).status == 0
    return folder / "mlruns"


def of_bytes(content):
    @contextmanager
    def make(store, _):
        store.mkdir()
        (store / "mlflow.db").write_bytes(content)
        yield {}

    return make


@contextmanager
def a_file(store, _):
    store.write_text("mine")
    yield {}


@contextmanager
def a_folder_in_its_place(store, _):
    (store / "mlflow.db").mkdir(parents=True)
    yield {}


@contextmanager
def locked(store, _):
    store.mkdir()
    holder = sqlite3.connect(store / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    yield {}
    holder.close()


@contextmanager
def full_disk(store, mounted):
    mounted(store, "size=64k")
    yield {}


@contextmanager
def read_only(store, mounted):
    mounted(store, "size=64k")
    remounted(store, "ro")
    yield {}


@contextmanager
def no_temporary_folder(*_):
    yield {"TMPDIR": "/no/such/folder"}


@contextmanager
def a_full_temporary_folder(store, mounted):
    yield {"TMPDIR": str(mounted(store.with_name("tmp"), "nr_inodes=1"))}


STORES = {
    "garbage": (of_bytes(b"x" * 9000), MLFLOW_INCOMPLETE),
    "another database": (of_bytes(b"SQLite format 3\0" + b"\0" * 4080), MLFLOW_INCOMPLETE),
    "a file": (a_file, MLFLOW_INCOMPLETE),
    "a folder in its place": (a_folder_in_its_place, MLFLOW_INCOMPLETE),
    "locked": (locked, MLFLOW_INCOMPLETE),
    "full": (full_disk, MLFLOW_INCOMPLETE),
    "read-only": (read_only, MLFLOW_INCOMPLETE),
    "empty": (of_bytes(b""), 0),
    "no temporary folder": (no_temporary_folder, 0),
    "a full temporary folder": (a_full_temporary_folder, 0),
}


def test_a_store_of_mlflow_that_takes_nothing_harms_no_trial(
    mlflow_commands, place, undisturbed, mounted, request, kind
):
    prepared, status = STORES[kind]
    store = place / "store"
    if "temporary folder" in kind:  # to make a store takes seconds
        shutil.copytree(request.getfixturevalue("made_store"), store)
    with prepared(store, mounted) as environment:
        done = mlflow_commands.search(
            TRIALS,
            f"output.mlruns={store}",
            at=place,
            setup=[("tracked_here",)],
            environment={**os.environ, **environment},
        )
    done.assert_no_bug()
    assert done.status == status, done.said
    assert ("MLflow   is not up to date" in done.said) == bool(status), done.said
    assert Data.at(place) == undisturbed.data


TABLES = {
    "test_a_full_disk_loses_nothing": FULL,
    "test_a_campaign_ends_when_its_ledger_is_not_in_place": STRUCK,
    "test_a_store_of_mlflow_that_takes_nothing_harms_no_trial": STORES,
}
RARE = {
    *(kind for kind in FULL if kind not in ("size=12k", "size=64k", "size=192k", "nr_inodes=14")),
    *(f"in a trial: {how}" for how in ("replaced", "emptied", "cut", "added to", "moved")),
    *(kind for kind in STORES if kind not in ("garbage", "a folder in its place", "read-only")),
}
