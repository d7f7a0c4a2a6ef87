"""A workload in figures and pictures: against plain definitions, and on workloads that hold almost
nothing."""

import math
from dataclasses import replace
from itertools import pairwise
from statistics import fmean, pstdev
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.printable import printable
from campaign.report.workload_picture import (
    characters,
    duration,
    panels,
    sparkline,
    workload_page,
    workload_svg,
)
from campaign.report.workload_text import workload_lines
from campaign.workloads.statistics import BINS, DAY, DECADE_BINS, HOUR, WEEK, describe, step_of

SVG = "{http://www.w3.org/2000/svg}"
ONE = [(0.0, 1, 10.0, 60.0, 0)]
AT_ONCE = [(5.0, 2, 10.0, 10.0, 3)] * 4


def workload(rows, name="sample"):
    """Rows are (arrival_s, width, runtime_s, requested_s, user), in order of arrival."""
    columns = dict(zip(WORKLOAD_SCHEMA.names[1:], map(list, zip(*rows, strict=True)), strict=True))
    return Workload(
        name, pa.table({"job_id": range(1, len(rows) + 1), **columns}).cast(WORKLOAD_SCHEMA)
    )


def described(rows, slots=8):
    return describe(workload(rows), slots)


job = st.tuples(
    st.floats(0, 4e9),
    st.integers(1, 2**31 - 1),
    st.floats(1e-9, 4e9),
    st.floats(1, 100),
    st.integers(0, 5),
)
many = st.lists(job, min_size=1, max_size=40).map(
    lambda rows: [
        (at, width, run, run * factor, user) for at, width, run, factor, user in sorted(rows)
    ]
)


@settings(deadline=None, max_examples=25)
@given(rows=many, slots=st.integers(1, 2**20))
def test_every_workload_is_described_and_drawn(rows, slots):
    known = described(rows, slots)
    assert (
        sum(known.arrivals.heights)
        == sum(known.widths.heights)
        == sum(known.runtimes.heights)
        == len(rows)
    )
    for histogram, most in (
        (known.arrivals, BINS),
        (known.widths, 32),
        (known.runtimes, DECADE_BINS),
    ):
        assert len(histogram.edges) == len(histogram.heights) + 1 <= most + 1
        assert all(low < high for low, high in pairwise(histogram.edges))
    near = 1 + 1e-6
    assert known.runtimes.edges[0] <= min(row[2] for row in rows) * near
    assert known.runtimes.edges[-1] * near >= max(row[2] for row in rows)
    for one in known.distributions.values():
        low_to_high = (one.min, one.p25, one.median, one.p75, one.p95, one.max)
        assert all(low <= high * near for low, high in pairwise(low_to_high))
    assert max(len(line) for line in characters(known).splitlines()) <= 88
    ElementTree.fromstring(workload_svg(workload(rows), known))


def test_distributions_are_those_of_the_definitions():
    rows = [
        (0, 4, 10, 20, 1),
        (1, 1, 20, 20, 2),
        (3, 2, 30, 120, 1),
        (7, 3, 100, 1000, 1),
        (15, 8, 5, 50, 0),
    ]
    known = described(rows)
    expected = {
        "interarrival_s": [1, 2, 4, 8],
        "width": [4, 1, 2, 3, 8],
        "runtime_s": [10, 20, 30, 100, 5],
        "requested_s": [20, 20, 120, 1000, 50],
        "accuracy": [0.5, 1, 0.25, 0.1, 0.1],
        "area": [40, 20, 60, 300, 40],
    }
    assert set(known.distributions) == set(expected)
    for name, values in expected.items():
        one = known.distributions[name]
        assert (one.min, one.max) == (min(values), max(values)), name
        assert one.mean == pytest.approx(fmean(values)) and one.cv == pytest.approx(
            pstdev(values) / fmean(values)
        )
    assert (known.distributions["runtime_s"].p25, known.distributions["runtime_s"].median) == (
        10,
        20,
    )
    assert known.distributions["runtime_s"].p95 == pytest.approx(30 + 0.8 * 70)
    assert (known.jobs, known.users, known.span_s, known.slots) == (5, 2, 15, 8)
    assert (known.serial, known.powers_of_two) == (1 / 5, 4 / 5)
    assert known.load == pytest.approx(460 / (8 * 15))


def test_bars_of_width_end_at_powers_of_two():
    known = described([(0, width, 1, 1, 0) for width in (1, 2, 2, 3, 4, 5, 8, 9, 16, 17)])
    assert known.widths.edges == (0, 1, 2, 4, 8, 16, 32)
    assert known.widths.heights == (1, 2, 2, 2, 2, 1)


def test_bars_of_run_times_begin_at_their_edges():
    known = described([(0, 1, runtime, 2000, 0) for runtime in (1, 1.5, 10, 100, 999, 1000)])
    edges = known.runtimes.edges
    assert edges[0] == 1 and edges[4] == pytest.approx(10) and edges[-1] == pytest.approx(10**3.25)
    assert [height for height in known.runtimes.heights if height] == [2, 1, 1, 1, 1]
    assert known.runtimes.heights[0] == 2 and known.runtimes.heights[-1] == 1


def test_the_loads_of_all_bars_are_the_whole_load():
    draw = np.random.default_rng(1)
    arrivals = np.sort(draw.uniform(0, 3 * HOUR, 500)) + 50
    rows = [(at, 1 + int(at) % 7, 1 + at % 100, 200, 1) for at in arrivals]
    known = described(rows, slots=16)
    step = known.loads.edges[1] - known.loads.edges[0]
    assert known.loads.edges == known.arrivals.edges and step == 5 * 60
    area = sum(width * runtime for _, width, runtime, _, _ in rows)
    assert sum(known.loads.heights) * step * 16 == pytest.approx(area)
    assert known.load * known.span_s * 16 == pytest.approx(area)
    first = sum(width * run for at, width, run, _, _ in rows if at - rows[0][0] < step)
    assert known.loads.heights[0] == pytest.approx(first / step / 16)


@pytest.mark.parametrize(
    ("span", "step"),
    [
        (0, 1),
        (60, 1),
        (61, 2),
        (HOUR, 60),
        (DAY, 1800),
        (60 * DAY, DAY),
        (0.06, 0.001),
        (30, 0.5),
        (61 * 28 * DAY, 50 * DAY),
    ],
)
def test_bars_over_time_are_as_long_as_people_count(span, step):
    assert step_of(span) == pytest.approx(step)
    assert span / step_of(span) <= BINS * (1 + 1e-9)


def test_a_cycle_counts_jobs_per_hour_that_the_span_had_of_it():
    """Two jobs in each hour 3, one in every other, over five days and a half: the half day weighs
    nothing more."""
    arrivals = [0.5 * HOUR + HOUR * hour for hour in range(132)] + [
        HOUR * hour for hour in range(132) if hour % 24 == 3
    ]
    known = described([(at, 1, 1, 1, 1) for at in sorted([0.0, 132 * HOUR, *arrivals])])
    assert len(known.day) == 24 and known.week == ()
    assert known.day[3] == pytest.approx(2) and known.day[5] == known.day[20] == pytest.approx(1)


def test_cycles_need_a_span_that_shows_them():
    for days, cycle, week in ((1.9, 0, 0), (3, 24, 0), (15, 24, 7)):
        known = described([(0, 1, 1, 1, 1), (days * DAY, 1, 1, 1, 1)])
        assert (len(known.day), len(known.week)) == (cycle, week)
    known = described([(0, 1, 1, 1, 1), *[(8 * DAY, 1, 1, 1, 1)] * 6, (2 * WEEK + 1, 1, 1, 1, 1)])
    assert known.week.index(max(known.week)) == 1


def test_one_job_and_jobs_at_once_have_no_load():
    one = described(ONE)
    at_once = described(AT_ONCE)
    assert one.load is at_once.load is None and one.loads is at_once.loads is None
    assert "interarrival_s" not in one.distributions and one.users == 0
    assert at_once.distributions["interarrival_s"].cv is None
    assert at_once.arrivals.heights == (4.0,)
    for rows in (ONE, AT_ONCE):
        assert "all jobs arrive at once" in characters(described(rows))
        assert "all jobs arrive at once" in workload_svg(workload(rows), described(rows))


def test_characters_show_the_highest_bar_full_and_the_lowest_at_all():
    rows = [(second / 10, 1, 1, 1, 1) for second in range(600)] + [(60.0, 1, 1, 1, 1)] * 390
    lines = characters(described(rows)).splitlines()
    assert lines[0] == "Arrivals (jobs per s)" and lines[1].startswith("    400 |")
    field = [line[9:] for line in lines[1:6]]
    assert field[0].rstrip()[-1] == "█" and field[0].count("█") == 1
    assert field[-1][0] == "▁"
    assert sparkline([0, 1, 1000]) == " ▁█" and sparkline([]) == "" and sparkline([0, 0]) == "  "


def test_the_svg_has_a_bar_per_filled_bin_and_says_what_it_counts():
    rows = [(0, 1, 1, 2, 1), (HOUR, 3, 100, 200, 2), (2 * HOUR, 64, 5 * HOUR, 6 * HOUR, 1)]
    known = described(rows, slots=64)
    tree = ElementTree.fromstring(workload_svg(workload(rows), known))
    bars = [rect for rect in tree.iter(f"{SVG}rect") if rect.get("class") == "bar"]
    assert len(bars) == sum(height > 0 for panel in panels(known) for height in panel.heights) == 12
    said = {text.text for text in tree.iter(f"{SVG}text")}
    assert {"Arrivals", "Offered load", "Width", "Run time", "slots", "≤ 64", "1 h"} <= said
    assert {
        "jobs per 2 min",
        "share of 64 slots, per 2 min",
        "time since the first arrival (min)",
    } <= said
    assert f"- - overall {known.load:.4g}" in said
    box = [float(part) for part in tree.get("viewBox").split()]
    assert all(float(bar.get("height")) > 0 and float(bar.get("x")) >= 0 for bar in bars)
    assert all(float(bar.get("y")) + float(bar.get("height")) <= box[3] for bar in bars)


@pytest.mark.parametrize("name", ['a<b>&"c"', "esc\x1b[2J\x01", "x" * 300])
def test_names_from_files_are_harmless_in_pictures(name):
    sample = workload(ONE, name)
    drawn = workload_svg(sample, describe(sample, 4))
    ElementTree.fromstring(drawn)
    assert "<b>" not in drawn and "\x1b" not in drawn + workload_page(sample, describe(sample, 4))
    assert "\x1b" not in printable(name)


def test_times_are_told_in_their_unit():
    told = [duration(seconds) for seconds in (0, 0.25, 59, 90, HOUR, 36 * HOUR, 100 * DAY)]
    assert told == ["0 s", "0.25 s", "59 s", "1.5 min", "1 h", "1.5 d", "100 d"]


def test_a_million_jobs_stay_columns():
    jobs = 1_000_000
    columns = {
        "job_id": np.arange(jobs),
        "arrival_s": np.arange(jobs, dtype=float),
        "width": 1 + np.arange(jobs) % 128,
        "runtime_s": 1.0 + np.arange(jobs) % 5000,
        "requested_s": np.full(jobs, 1e4),
        "user": np.arange(jobs) % 50,
    }
    known = describe(Workload("many", pa.table(columns).cast(WORKLOAD_SCHEMA)), 128)
    assert (known.jobs, known.users, known.serial) == (jobs, 49, pytest.approx(1 / 128, rel=1e-3))
    assert math.isclose(known.load, known.distributions["area"].mean / 128, rel_tol=1e-5)


def since_midnight(notes, days=15, every=DAY):
    """Describe jobs one `every` seconds, for `days`, with the notes of a header."""
    rows = [(at * every, 1, 1, 1, 1) for at in range(int(days * DAY / every) + 1)]
    return describe(replace(workload(rows), notes=notes), 8)


SUNDAY_NOON = 1_772_366_400  # Unix time of 2026-03-01 12:00 UTC, a Sunday
BEGAN = {"header UnixStartTime": str(SUNDAY_NOON)}


@pytest.mark.parametrize(
    ("notes", "hour", "clock"),
    [
        ({}, 0, ""),
        (BEGAN, 12, "UTC"),
        (BEGAN | {"header TimeZoneString": "US/Pacific"}, 4, "US/Pacific"),
        (BEGAN | {"header TimeZoneString": "Asia/Tokyo (since 1999)"}, 21, "Asia/Tokyo"),
        (BEGAN | {"header TimeZoneString": "Nowhere/At_all"}, 12, "UTC, since the zone"),
        (BEGAN | {"header TimeZoneString": "../../etc/passwd"}, 12, "UTC, since the zone"),
        (BEGAN | {"times scaled": "by 0.1"}, 0, ""),
        (BEGAN | {"offered load set": "0.7"}, 0, ""),
        ({"header UnixStartTime": "99999999999"}, 0, ""),
    ],
)
def test_the_hour_of_the_day_is_that_of_the_traces_clock(notes, hour, clock):
    known = since_midnight(notes, days=6)
    assert known.day.index(max(known.day)) == hour
    assert known.clock.startswith(clock) and bool(known.clock) == bool(clock)


def test_the_hour_of_the_day_follows_summer_time():
    known = since_midnight(BEGAN | {"header TimeZoneString": "US/Pacific"}, days=14)
    # From 2026-03-08 on, noon in UTC is 5 o'clock there.
    assert {hour for hour, rate in enumerate(known.day) if rate} == {4, 5}


def test_the_day_of_the_week_is_that_of_the_traces_clock():
    rows = [(0, 1, 1, 1, 1), *[(8 * DAY, 1, 1, 1, 1)] * 6, (2 * WEEK + 1, 1, 1, 1, 1)]
    known = describe(replace(workload(rows), notes=BEGAN), 8)
    assert known.week.index(max(known.week)) == 0  # a Sunday and eight days: a Monday
    assert any(
        "Monday is 0 (UTC)" in line for line in workload_lines(workload(rows), known, source="")
    )


def test_a_part_of_a_cycle_counts_for_as_long_as_it_lasted():
    # From noon to midnight two days later: 60 hours, of which the mornings had 2 and the
    # afternoons 3 each.
    known = since_midnight(BEGAN, days=2.5, every=HOUR / 4)
    assert known.day[3] == pytest.approx(4) and known.day[15] == pytest.approx(4)
