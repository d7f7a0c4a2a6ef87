"""How far a guest in virtual time is, in words: its time, its speed, its jobs, and what is left."""

import pyarrow as pa
import pytest

from actors.clusters.guest_task import DAY_S, generous_s
from actors.clusters.virtual_progress import WINDOW_S, VirtualProgress, least_span_s
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.guest.exchange import GuestProgress


def said(virtual_s, workload_s=0.0, done=0, total=300, waits_for=""):
    return GuestProgress(1, "running", "workload", virtual_s, workload_s, done, total, waits_for)


def workload(*jobs):
    rows = [
        {
            "job_id": number,
            "arrival_s": arrival,
            "width": width,
            "runtime_s": runtime,
            "requested_s": runtime,
            "user": 1,
        }
        for number, (arrival, width, runtime) in enumerate(jobs)
    ]
    return Workload("w", pa.Table.from_pylist(rows, schema=WORKLOAD_SCHEMA))


def test_time_speed_jobs_and_what_is_left_are_told():
    words = VirtualProgress(26_440.0)
    words.observe(said(100.0, 9700.0), now=0.0)
    told = words.observe(said(100.0, 11_560.0, 120), now=30.0)
    assert told == "virtual 03:12:40 at 62x, 120 of 300 jobs, about 4 min left"


def test_the_speed_is_that_of_the_last_minute():
    words = VirtualProgress(1e6)
    for second in range(int(WINDOW_S) + 1):
        words.observe(said(0.0, 1.0 + second), now=float(second))
    for second in range(1, int(WINDOW_S) + 2):
        told = words.observe(said(0.0, 62.0 + 100 * second), now=WINDOW_S + second)
    assert " at 100x," in told


def test_how_slow_configuring_was_says_nothing_of_the_workload():
    words = VirtualProgress(7200.0)
    words.observe(said(7.0, waits_for="4 nodes idle"), now=0.0)
    assert words.observe(said(68.0, 60.0), now=10.0) == "virtual 00:01:00, 0 of 300 jobs"
    assert words.observe(said(188.0, 180.0), now=11.0).startswith("virtual 00:03:00 at 120x, ")


def test_a_guest_that_seldom_says_how_far_it_is_has_a_steady_speed():
    words = VirtualProgress(1e6)
    told = [
        words.observe(said(0.0, 60.0 + second // 40 * 60), now=float(second))
        for second in range(400)
    ]
    assert {one.split(" at ")[1].split("x")[0] for one in told[200:]} <= {"1.5", "1.49", "1.51"}


def test_a_guest_whose_clock_stands_becomes_slower():
    words = VirtualProgress(1e6)
    for second in range(10):
        words.observe(said(0.0, 10.0 + second), now=float(second))
    assert " at 0.0521x" in words.observe(said(0.0, 19.0), now=101.0)


def test_before_the_workload_it_says_what_the_guest_waits_for():
    words = VirtualProgress(100.0)
    assert (
        words.observe(said(7.0, waits_for="4 nodes idle"), 0.0) == "4 nodes idle, virtual 00:00:07"
    )


def test_a_workload_that_takes_longer_than_it_must_is_foretold_by_its_jobs():
    words = VirtualProgress(1000.0)
    words.observe(said(0.0, 1990.0, 99, 200), now=0.0)
    assert words.observe(said(0.0, 2000.0, 100, 200), now=1.0).endswith("about 3 min left")
    assert "left" not in words.observe(said(0.0, 2010.0, 200, 200), now=2.0)


@pytest.mark.parametrize(
    ("jobs", "least"), [([(0, 1, 50), (100, 1, 10)], 110.0), ([(0, 4, 100)] * 3, 300.0)]
)
def test_a_workload_takes_as_long_as_its_jobs_need_at_least(jobs, least):
    assert least_span_s(workload(*jobs), 4) == least


def test_a_workload_may_take_a_day_and_four_times_what_it_needs():
    assert generous_s(workload((0, 4, 100), (50, 4, 300)), 4) == 50 + 4 * (300 + 400) + DAY_S
