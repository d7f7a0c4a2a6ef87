"""The clock of a trial's life."""

import pytest

from actors.clusters import phase_clock
from actors.clusters.phase_clock import PhaseClock


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


def test_who_listens_hears_how_far_it_is():
    heard = []
    PhaseClock(heard.append).tell("half way")
    assert heard == ["half way"]
