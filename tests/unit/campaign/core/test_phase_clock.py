"""The clock of a trial's life."""

import pytest

from campaign.core import phase_clock
from campaign.core.phase_clock import PhaseClock


@pytest.fixture
def clock(monkeypatch):
    """A phase clock, and the hands to move it."""
    now = [100.0]
    monkeypatch.setattr(phase_clock.time, "monotonic", lambda: now[0])
    made = PhaseClock()

    def reached(after, phase, following="next"):
        now[0] += after
        made.reached(phase, following)

    return made, reached


def test_every_arrow_is_timed_and_one_that_is_taken_twice_counts_twice(clock):
    made, reached = clock
    reached(2, "placed", "started")
    reached(3, "started")
    reached(4, "placed")
    assert made.phases == {"placed": 6, "started": 3}
    assert made.status.phase == "next"


def test_a_phase_is_split_but_never_becomes_longer(clock):
    made, reached = clock
    reached(10, "workload")
    made.split("workload", "first_job", 4)
    assert made.phases == {"first_job": 4, "workload": 6}
    made.split("workload", "late", 99)
    assert (made.phases["late"], made.phases["workload"]) == (6, 0)


def test_a_part_has_phases_of_its_own_and_its_details_are_told_by_the_whole():
    whole = PhaseClock()
    part = whole.part("making the golden cluster")
    part.reached("placed", "started")
    part.detail("half way")
    assert (whole.status.phase, whole.phases) == ("placed", {})
    assert whole.status.detail == "making the golden cluster: half way"
    assert list(part.phases) == ["placed"]


def test_phases_are_logged_with_their_durations(clock, caplog):
    _, reached = clock
    with caplog.at_level("DEBUG", "campaign.core.phase_clock"):
        reached(2, "placed", "started")
    ended, begun = caplog.records
    assert (ended.event, ended.span, ended.duration_s) == ("end", "placed", 2)
    assert (begun.event, begun.span) == ("begin", "started")


def test_a_detail_is_logged_when_it_changes(caplog):
    clock = PhaseClock()
    with caplog.at_level("DEBUG", "campaign.core.phase_clock"):
        for text in ("1 of 2 jobs done", "1 of 2 jobs done", "2 of 2 jobs done"):
            clock.detail(text)
    assert [record.getMessage() for record in caplog.records] == [
        "placed: 1 of 2 jobs done",
        "placed: 2 of 2 jobs done",
    ]
