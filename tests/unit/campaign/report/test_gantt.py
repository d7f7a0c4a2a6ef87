"""Gantt charts: every job on as many slots as it was wide, none on top of another, and well-formed
SVG."""

from itertools import combinations
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from campaign.core.jobs import JOBS_SCHEMA
from campaign.report.design import LIGHT
from campaign.report.gantt import gantt_svg, layout
from tests.samples import SECOND, jobs_table

SVG = "{http://www.w3.org/2000/svg}"


def one_job(**changes):
    row = {
        "job_id": 1,
        "width": 1,
        "nodes": ["n1"],
        "submit_ns": 0,
        "start_ns": 2 * SECOND,
        "end_ns": 5 * SECOND,
        "exit_code": 0,
    }
    return {**dict.fromkeys(JOBS_SCHEMA.names), **row, **changes}


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=JOBS_SCHEMA)


def rects(svg, kind="job"):
    return [
        rect
        for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect")
        if kind in (rect.get("class") or "").split()
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("nodes", [1, 3])
def test_no_two_jobs_share_a_slot_at_a_time(nodes, seed):
    chart = layout(jobs_table(nodes, jobs=60, seed=seed), slots_per_node=4)
    assert all(count <= 4 for count in chart.slots.values())
    for one, other in combinations(chart.bars, 2):
        if one.node == other.node and one.start < other.end and other.start < one.end:
            assert not set(one.slots) & set(other.slots), (one, other)


def test_a_job_takes_as_many_slots_as_it_is_wide():
    jobs = jobs_table(2, jobs=40)
    slots = dict.fromkeys(jobs.column("job_id").to_pylist(), 0)
    for bar in layout(jobs, slots_per_node=4).bars:
        slots[bar.job] += len(bar.slots)
    assert list(slots.values()) == jobs.column("width").to_pylist()


@pytest.mark.parametrize(
    ("end_s", "unit", "last"),
    [
        (5, "seconds", "5"),
        (6_000, "minutes", "100"),
        (50_000, "hours", "12"),
        (864_000, "days", "10"),
    ],
)
def test_the_axis_of_a_long_workload_is_in_a_longer_unit(end_s, unit, last):
    svg = gantt_svg(table(one_job(end_ns=end_s * SECOND)), nodes=["n1"], slots_per_node=1)
    ticks = [
        text.text
        for text in ElementTree.fromstring(svg).iter(f"{SVG}text")
        if text.get("text-anchor") == "middle" and text.get("class") == "tick"
    ]
    assert ticks[-2:] == [last, unit]


def test_unused_nodes_and_slots_show():
    svg = gantt_svg(table(one_job()), nodes=["n1", "n2"], slots_per_node=4)
    heights = [float(row.get("height")) for row in rects(svg, "row")]
    assert len(heights) == 2
    assert heights[0] == heights[1] == 4 * 15


def test_nodes_stand_in_natural_order():
    jobs = table(*(one_job(job_id=n, nodes=[f"n{n}"]) for n in (10, 9, 2)))
    assert list(layout(jobs).slots) == ["n2", "n9", "n10"]


def test_a_failed_job_has_its_own_colour():
    svg = gantt_svg(
        table(one_job(), one_job(job_id=2, exit_code=1, start_ns=6 * SECOND, end_ns=7 * SECOND))
    )
    assert ["failed" in rect.get("class").split() for rect in rects(svg)] == [False, True]
    assert LIGHT["failed"] in svg and LIGHT["failed"] not in [LIGHT[f"job{n}"] for n in range(6)]


def test_a_job_that_never_ran_only_waits():
    jobs = table(one_job(), one_job(job_id=2, width=3, nodes=None, start_ns=None, end_ns=None))
    chart = layout(jobs)
    assert [bar.job for bar in chart.bars] == [1]
    assert chart.queue[-1] == (2.0, 3)


def test_more_jobs_than_slots_overlap_rather_than_vanish():
    jobs = table(*(one_job(job_id=n) for n in range(3)))
    assert len(layout(jobs, slots_per_node=1).bars) == 3


def test_names_are_escaped_and_the_svg_is_well_formed():
    svg = gantt_svg(table(one_job(nodes=["<n&1>"])), title="<script>alert(1)</script>")
    assert ElementTree.fromstring(svg).get("aria-label") == "<script>alert(1)</script>"
    assert "<script>" not in svg


def test_an_empty_table_draws_an_empty_chart():
    assert rects(gantt_svg(JOBS_SCHEMA.empty_table())) == []


def test_thousands_of_jobs_stay_small_and_all_are_drawn():
    jobs = jobs_table(8, jobs=5_000)
    svg = gantt_svg(jobs, slots_per_node=4)
    paths = [
        path.get("d")
        for path in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if "job" in (path.get("class") or "").split()
    ]
    assert sum(path.count("M") for path in paths) >= 5_000
    assert len(svg) < 700_000


def test_inside_a_page_a_chart_takes_the_tones_of_the_page():
    alone, inside = (gantt_svg(table(one_job()), alone=one) for one in (True, False))
    assert "<style>" in alone and "var(" not in alone
    assert "<style>" not in inside and "<title>" not in inside.partition("<rect")[0]
