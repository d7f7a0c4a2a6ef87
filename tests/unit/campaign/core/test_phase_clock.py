"""The clock of a trial's life."""

import asyncio
import contextlib

import pytest

from campaign.core import phase_clock
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase
from tests.fakes.clock import RecordingClock
from tests.fakes.virtual_time import VirtualTime


@pytest.fixture
def clock(monkeypatch):
    """A phase clock, and the hands to move it."""
    now = [100.0]
    monkeypatch.setattr(phase_clock.time, "monotonic", lambda: now[0])
    made = PhaseClock()

    def reached(after, phase, following=Phase.JUDGED):
        now[0] += after
        made.reached(phase, following)

    return made, reached


def test_every_arrow_is_timed_and_one_that_is_taken_twice_counts_twice(clock):
    made, reached = clock
    reached(2, Phase.PLACED, Phase.STARTED)
    reached(3, Phase.STARTED)
    reached(4, Phase.PLACED)
    assert made.phases == {Phase.PLACED: 6, Phase.STARTED: 3}
    assert made.status.phase == Phase.JUDGED


def test_a_phase_is_split_but_never_becomes_longer(clock):
    made, reached = clock
    reached(10, Phase.WORKLOAD)
    made.split(Phase.WORKLOAD, Phase.FIRST_JOB, 4)
    assert made.phases == {Phase.FIRST_JOB: 4, Phase.WORKLOAD: 6}
    assert made.spans == [(Phase.FIRST_JOB, 100, 104), (Phase.WORKLOAD, 104, 110)]
    made.split(Phase.WORKLOAD, Phase.COLLECTED, 99)
    assert (made.phases[Phase.COLLECTED], made.phases[Phase.WORKLOAD]) == (6, 0)


def test_a_part_has_phases_of_its_own_and_its_details_are_told_by_the_whole():
    whole = PhaseClock()
    part = whole.part("making the golden cluster")
    part.reached(Phase.PLACED, Phase.STARTED)
    part.detail("half way")
    assert (whole.status.phase, whole.phases) == (Phase.PLACED, {})
    assert whole.status.detail == "making the golden cluster: half way"
    assert list(part.phases) == [Phase.PLACED]


def test_phases_are_logged_with_their_durations(clock, caplog):
    _, reached = clock
    with caplog.at_level("DEBUG", "campaign.core.phase_clock"):
        reached(2, Phase.PLACED, Phase.STARTED)
    ended, begun = caplog.records
    assert (ended.event, ended.span, ended.duration_s) == ("end", Phase.PLACED, 2)
    assert (begun.event, begun.span) == ("begin", Phase.STARTED)


def test_a_detail_is_logged_when_it_changes(caplog):
    clock = PhaseClock()
    with caplog.at_level("DEBUG", "campaign.core.phase_clock"):
        for text in ("1 of 2 jobs done", "1 of 2 jobs done", "2 of 2 jobs done"):
            clock.detail(text)
    assert [record.getMessage() for record in caplog.records] == [
        "placed: 1 of 2 jobs done",
        "placed: 2 of 2 jobs done",
    ]


def test_work_that_takes_long_says_how_long_and_what_it_waits_for(monkeypatch):
    clock = RecordingClock()
    waits = iter(["n1: kubelet", ""])

    async def work():
        async with clock.waiting("daemons", lambda: next(waits)):
            await asyncio.sleep(2.5 * phase_clock.TELL_S)
        await asyncio.sleep(10 * phase_clock.TELL_S)

    VirtualTime(monkeypatch).run(work())
    assert clock.details == [
        "daemons",
        "daemons, for 15 s; waiting for n1: kubelet",
        "daemons, for 30 s",
    ]


def test_work_that_fails_ends_what_was_said_of_it(monkeypatch):
    clock = RecordingClock()

    async def work():
        with contextlib.suppress(ZeroDivisionError):
            async with clock.waiting("daemons"):
                raise ZeroDivisionError
        await asyncio.sleep(10 * phase_clock.TELL_S)

    VirtualTime(monkeypatch).run(work())
    assert clock.details == ["daemons"]
