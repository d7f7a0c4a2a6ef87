"""A guest's clock that stands still: found by CPU time or by real time, and told with its place."""

import pytest

from actors.clusters.standstill import (
    REAL_PER_CPU,
    STOPPED_S,
    StandstillWatch,
    virtual_text,
    where,
)
from campaign.guest.exchange import GuestProgress


def progress(virtual_s, waits_for=""):
    return GuestProgress(1, "running", "stage nodes", virtual_s, waits_for=waits_for)


def test_a_clock_that_moves_is_never_found_however_slowly():
    watch = StandstillWatch(10.0)
    assert not any(watch.observe(progress(n), n * 9.0, n * 30.0) for n in range(20))


@pytest.mark.parametrize(("cpu_s", "now"), [(110.1, 0.0), (100.0, 10.0 * REAL_PER_CPU + 0.1)])
def test_a_clock_that_stands_still_is_found_by_either_time(cpu_s, now):
    watch = StandstillWatch(10.0)
    assert watch.observe(progress(5.0, "3 nodes idle"), 100.0, 0.0) == ""
    found = watch.observe(progress(5.0, "3 nodes idle"), cpu_s, now)
    assert found.startswith(
        "virtual time stands still at 00:00:05 (stage nodes, waiting for 3 nodes idle) for "
    )


def test_a_guest_that_never_says_anything_is_found():
    watch = StandstillWatch(10.0)
    assert watch.observe(None, 1.0, 0.0) == ""
    assert "at its boot: it has said nothing yet" in watch.observe(None, 12.0, 1.0)


def test_an_emulator_that_does_nothing_at_all_is_not_waited_for_as_long_as_a_slow_one():
    """It may have worked for a moment since the guest's last word."""
    stopped = StandstillWatch(10 * STOPPED_S)
    slow = StandstillWatch(10 * STOPPED_S)
    for watch in (stopped, slow):
        assert watch.observe(progress(5.0), 100.0, 0.0) == ""
        assert watch.observe(progress(5.0), 101.0, 1.0) == ""
    assert stopped.observe(progress(5.0), 101.0, STOPPED_S) == ""
    assert slow.observe(progress(5.0), 102.0, STOPPED_S + 2) == ""
    found = stopped.observe(progress(5.0), 101.0, STOPPED_S + 2)
    assert found.endswith("; its emulator has used no CPU time for 301 s")


def test_in_a_workload_the_place_has_its_jobs():
    said = GuestProgress(1, "running", "workload", 60.0, 50.0, 3, 10)
    assert where(said) == "00:01:00 (workload, 3 of 10 jobs done)"


def test_virtual_time_is_told_in_days_and_by_the_clock():
    assert [virtual_text(s) for s in (0, 11560.9, 90061)] == [
        "00:00:00",
        "03:12:40",
        "1 d 01:01:01",
    ]
    assert where(progress(1)) == "00:00:01 (stage nodes)"
