"""Two trials side by side: an arm equals itself, a swapped pair of jobs is found exactly, and times add up."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.compare import PHASES, Arm, compare
from campaign.errors import LedgerError
from campaign.jobs import JOBS_SCHEMA
from campaign.report.comparison import lines
from tests.unit.sample import sample

SLOTS = (4, 4)
S = 1_000_000_000


def jobs_of(starts, *, widths=None, submits=None, run_s=2.0, native=None, **columns):
    """A jobs table with so many jobs, numbered from 1, that start at these seconds."""
    rows = []
    for index, start in enumerate(starts):
        submit = submits[index] if submits else 0.1 * index
        row = {
            "job_id": index + 1,
            "arrival_s": 0.0,
            "width": widths[index] if widths else 1,
            "runtime_s": run_s,
            "requested_s": 60.0,
            "user": 1,
            "submit_ns": round(submit * S),
            "accepted_ns": round((submit + 0.05) * S),
            "start_ns": None if start is None else round(start * S),
            "end_ns": None if start is None else round((start + run_s) * S),
            "native_start_s": None if native is None else native[index],
        }
        rows.append(row | columns)
    return pa.Table.from_pylist(rows, schema=JOBS_SCHEMA)


def arm(name, jobs, number=0, **record):
    return Arm(name, sample(number, **record).record, jobs)


def compared(one, other, slots=SLOTS):
    return compare(arm("a:0", one), arm("b:0", other), slots)


times = st.lists(st.integers(10, 2000).map(lambda tenths: tenths / 10), min_size=1, max_size=12)


@given(times)
def test_an_arm_beside_itself_differs_in_nothing(starts) -> None:
    found = compared(jobs_of(starts), jobs_of(starts))
    assert found.divergence is None and found.differing == {}
    assert all(change.gained_s == 0 for change in found.changes)
    assert found.ended == found.jobs == len(starts)


@given(times, times, st.floats(-5, 300))
def test_the_parts_of_a_response_add_up_to_it(starts, others, native) -> None:
    length = min(len(starts), len(others))
    one, other = (jobs_of(one[:length], native=[native] * length) for one in (starts, others))
    for change in compared(one, other).changes:
        for split, table in zip(change.split, (one, other), strict=True):
            row = table.slice(change.job - 1, 1).to_pylist()[0]
            assert sum(split.values()) == pytest.approx((row["end_ns"] - row["submit_ns"]) / S)
            assert all(seconds >= -1e-9 for seconds in split.values())
            assert split.keys() == PHASES.keys()


@given(st.integers(2, 12), st.data())
def test_a_pair_that_swaps_its_places_is_the_first_difference(count, data) -> None:
    starts = [float(at) for at in range(1, count + 1)]
    first = data.draw(st.integers(0, count - 2))
    swapped = starts.copy()
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    found = compared(jobs_of(starts), jobs_of(swapped)).divergence
    assert (found.common, found.starts[0].job, found.starts[1].job) == (first, first + 1, first + 2)


def test_starts_at_one_instant_are_one_decision() -> None:
    assert compared(jobs_of([1.0, 1.02, 5.0]), jobs_of([1.02, 1.0, 5.0])).divergence is None
    assert compared(jobs_of([1.0, 1.2, 5.0]), jobs_of([1.2, 1.0, 5.0])).divergence is not None


def test_a_start_knows_what_it_looked_like_then() -> None:
    one = jobs_of([1.0, 4.0, 2.0], widths=[3, 4, 1], submits=[0.0, 0.5, 0.6])
    other = jobs_of([1.0, 3.5, 9.0], widths=[3, 4, 1], submits=[0.0, 0.5, 0.6])
    here, there = compared(one, other).divergence.starts
    assert (here.job, here.at_s, here.free_slots, here.waiting_jobs, here.waiting_slots) == (3, 2.0, 1, 1, 4)
    assert (there.job, there.width, there.free_slots, there.waiting_jobs) == (2, 4, 4, 1)
    assert here.waited_s == pytest.approx(1.4)


def test_accounts_tell_the_policys_wait_from_the_dispatch() -> None:
    found = compared(jobs_of([3.0], native=[2.0]), jobs_of([3.0]))
    assert found.means["policy"] == pytest.approx((1.95, 2.95))
    assert found.means["dispatch"] == pytest.approx((1.0, 0.0))


def test_a_job_that_never_started_in_one_arm_is_in_no_mean() -> None:
    found = compared(jobs_of([1.0, 2.0]), jobs_of([1.0, None]))
    assert (found.jobs, found.ended, len(found.changes)) == (2, 1, 1)


def test_other_jobs_are_no_comparison() -> None:
    with pytest.raises(LedgerError, match="didn't replay the same jobs") as caught:
        compared(jobs_of([1.0]), jobs_of([1.0], widths=[2]))
    assert caught.value.details == "they differ in width"
    with pytest.raises(LedgerError) as caught:
        compared(jobs_of([1.0]), jobs_of([1.0, 2.0]))
    assert caught.value.details == "1 jobs against 2"


def test_what_differs_is_told_with_metrics_of_both() -> None:
    one, other = arm("a:0", jobs_of([1.0, 5.0])), arm("a:1", jobs_of([1.0, 2.0]), number=1)
    text = "\n".join(lines(compare(one, other, SLOTS), [], top=1))
    for said in ("a:0 against a:1: the same 2 jobs", "awrt_s", "none: all jobs start in the same order"):
        assert said in text
    assert "jobs that a:1 answered sooner: 1" in text and "a:0 answered sooner" not in text
    assert "SchedulerType" in text


def test_many_jobs_are_compared_at_once() -> None:
    starts = [1.0 + index / 10 for index in range(20_000)]
    found = compared(jobs_of(starts), jobs_of(starts[::-1]))
    assert found.divergence.common == 0 and found.ended == 20_000
