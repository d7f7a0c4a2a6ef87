"""The watchdog: it ends what a dead process had, and nothing when it was dismissed."""

import io
import os
import time

import pytest

from actors.hypervisor import run_folder, watchdog
from actors.hypervisor.lease import Lease, Owner


class Recorded:
    """Stands for libvirt: knows no domains, and counts how often it was asked."""

    opened = 0

    def __init__(self, *_):
        Recorded.opened += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def ours(self):
        return []


@pytest.fixture(autouse=True)
def no_libvirt(monkeypatch):
    Recorded.opened = 0
    monkeypatch.setattr(watchdog, "Hypervisor", Recorded)
    monkeypatch.setattr(watchdog, "choose_uri", lambda uri, _: uri)
    monkeypatch.setattr(watchdog, "SETTLED_S", 0.1)


@pytest.fixture
def folder(tmp_path):
    """A run folder of the cluster `mine`, one of another, both of a living owner."""
    for cluster in ("mine", "theirs"):
        lease = Lease("demo", cluster, int(time.time()) + 600, Owner.current())
        run_folder.create(tmp_path / "nodes", f"{cluster}-head", lease, {})
    return tmp_path


def names(*lines, farewell=False):
    """What a process writes to its watchdog before its end closes the pipe."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as file:
        file.writelines(
            f"{line}\n" for line in (*lines, *([watchdog.FAREWELL] if farewell else []))
        )
    return os.fdopen(reader)


def left(folder):
    return sorted(one.path.name for one in run_folder.all_folders(folder / "nodes"))


def test_a_dead_process_s_clusters_are_ended_whatever_their_leases_say(folder):
    watchdog.serve(names("mine"), "test:///default", folder)
    assert left(folder) == ["theirs-head"]


def test_after_a_farewell_nothing_is_done(folder):
    watchdog.serve(names("mine", farewell=True), "test:///default", folder)
    assert len(left(folder)) == 2 and not Recorded.opened


def test_a_process_without_clusters_costs_no_connection(folder):
    watchdog.serve(names(), "test:///default", folder)
    assert len(left(folder)) == 2 and not Recorded.opened


def test_a_lease_that_runs_out_while_the_process_hangs_is_seen_to(folder):
    late = Lease("demo", "late", 1, Owner.current())
    run_folder.create(folder / "nodes", "late-head", late, {})
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as hangs, os.fdopen(reader) as heard:
        looks = iter(lambda: left(folder), None)
        original = watchdog.select.select

        def looking(*arguments):
            found = original(*arguments)
            if "late-head" not in next(looks):
                hangs.write(watchdog.FAREWELL + "\n")
                hangs.flush()
            return found

        watchdog.select = type("Select", (), {"select": staticmethod(looking)})
        try:
            watchdog.serve(heard, "test:///default", folder, interval_s=0.05)
        finally:
            import select

            watchdog.select = select
    assert left(folder) == ["mine-head", "theirs-head"]


def test_lines_are_names_and_nothing_else(folder):
    assert isinstance(names("a"), io.TextIOBase)
    watchdog.serve(names("", "mine", "mine"), "test:///default", folder)
    assert left(folder) == ["theirs-head"]


def test_without_setsid_there_is_no_watchdog_and_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    made = watchdog.Watchdog("test:///default", tmp_path)
    made.watch("mine")
    made.dismiss()
