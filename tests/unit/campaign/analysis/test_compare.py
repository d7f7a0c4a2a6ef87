"""Two trials side by side: an arm equals itself, a swapped pair of jobs is found exactly, and times
add up."""

import json
import math
from html.parser import HTMLParser

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.analysis.arm import RESPONSE_PARTS, TIE_S, Arm
from campaign.analysis.compare import compare
from campaign.analysis.fairness import ManifestEntry
from campaign.core.errors import LedgerError
from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Check
from campaign.report.comparison.as_json import plain
from campaign.report.comparison.page import page
from campaign.report.comparison.text import sections, title
from campaign.report.sections import lines
from tests.samples import OBJECTIVES, sample

S = 1_000_000_000
NEVER = None


def jobs_of(starts, *, widths=None, submits=None, run_s=2.0, native=None, nodes=None, **columns):
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
            "nodes": None if nodes is None else nodes[index],
        }
        rows.append(row | columns)
    return pa.Table.from_pylist(rows, schema=JOBS_SCHEMA)


def arm(name, jobs, number=0, *, nodes=1, fixed=None, resolution_s=0.0, **record):
    of = sample(number, **record).record
    return Arm(
        name, of, jobs, nodes=nodes, slots_per_node=4, fixed=fixed or {}, resolution_s=resolution_s
    )


def compared(one, other, **kinds):
    return compare(arm("a:0", one, **kinds), arm("b:0", other, **kinds))


def text_of(found, fairness=(), top=10):
    return "\n".join(lines(title(found), sections(found, fairness, top)))


def section_of(text, heading):
    return next(part for part in text.split("\n\n") if part.startswith(heading))


tenths = st.integers(12, 2000).map(lambda value: value / 10)  # after the submission of twelve jobs
times = st.lists(tenths, min_size=1, max_size=12)
STEP_S = 0.0173  # so that no two starts are just a tie apart
steps = st.integers(0, 40)
shifts = st.integers(-6, 6)
pairs = st.lists(
    st.tuples(
        steps, steps
    )  # two orders that have nothing to do with each other, or two that are nearly the same
    | st.tuples(steps, shifts).map(lambda pair: (pair[0], sum(pair)))
    | st.tuples(steps | st.none(), steps | st.none()),
    min_size=1,
    max_size=10,
).map(
    lambda found: [
        tuple(NEVER if step is None else 1 + step * STEP_S for step in pair) for pair in found
    ]
)


@given(times)
def test_an_arm_beside_itself_differs_in_nothing(starts) -> None:
    found = compared(jobs_of(starts), jobs_of(starts))
    assert found.divergence is None and found.placement is None and found.differing == {}
    assert found.only == ((), ())
    assert all(change.gained_s == 0 for change in found.changes)
    assert found.ended == found.jobs == len(starts)
    assert all(before == after for before, after in found.totals.values())
    text = text_of(found)
    assert "none: the jobs start in the same order" in text and "were faster" not in text
    assert "nothing" in section_of(text, "what differs")


@given(times, times, st.floats(-5, 300))
def test_the_parts_of_a_response_add_up_to_it(starts, others, native) -> None:
    length = min(len(starts), len(others))
    one, other = (jobs_of(one[:length], native=[native] * length) for one in (starts, others))
    found = compared(one, other)
    for change in found.changes:
        for split, table, response in zip(
            change.split, (one, other), change.response_s, strict=True
        ):
            row = table.slice(change.job - 1, 1).to_pylist()[0]
            assert response == pytest.approx((row["end_ns"] - row["submit_ns"]) / S)
            assert sum(split.values()) == pytest.approx(response)
            assert all(seconds >= -1e-9 for seconds in split.values())
            assert split.keys() == RESPONSE_PARTS.keys()
    for index in (0, 1):
        assert found.response_s[index] == pytest.approx(
            sum(change.response_s[index] for change in found.changes)
        )
        assert sum(pair[index] for pair in found.means.values()) == pytest.approx(
            found.response_s[index] / length
        )


@given(times, times)
def test_jobs_stand_in_the_order_of_what_they_gained(starts, others) -> None:
    length = min(len(starts), len(others))
    changes = compared(jobs_of(starts[:length]), jobs_of(others[:length])).changes
    gains = [change.gained_s for change in changes]
    assert gains == sorted(gains, reverse=True)
    assert sorted(change.job for change in changes) == list(range(1, length + 1))
    for change in changes:
        assert change.gained_s == pytest.approx(starts[change.job - 1] - others[change.job - 1])


@given(st.integers(2, 12), st.data())
def test_a_pair_that_swaps_its_places_is_the_first_difference(count, data) -> None:
    starts = [float(at) for at in range(1, count + 1)]
    first = data.draw(st.integers(0, count - 2))
    swapped = starts.copy()
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    found = compared(jobs_of(starts), jobs_of(swapped)).divergence
    assert (found.common, found.starts[0].job, found.starts[1].job) == (first, first + 1, first + 2)
    assert [start.at_s for start in found.starts] == [first + 1, first + 1]
    assert [start.elsewhere_s for start in found.starts] == [first + 2, first + 2]


@given(pairs)
def test_the_first_difference_is_the_first_of_all_pairs_at_odds(starts) -> None:
    """Against looking at every pair; the arms change places with their starts."""
    one, other = (
        [math.inf if at is NEVER else at for at in arm] for arm in zip(*starts, strict=True)
    )
    rows = range(len(starts))
    odds = [
        (i, j)
        for i in rows
        for j in rows
        if one[i] + TIE_S < one[j] and other[j] + TIE_S < other[i]
    ]
    tables = [jobs_of(list(arm)) for arm in zip(*starts, strict=True)]
    found = compared(*tables).divergence
    turned = compared(*tables[::-1]).divergence
    if not odds:
        assert found is None and turned is None
        return
    first = min((one[i], i) for i, _ in odds)[1], min((other[j], j) for _, j in odds)[1]
    assert tuple(start.job - 1 for start in found.starts) == first
    assert turned.starts == found.starts[::-1] and turned.common == found.common
    assert found.common == sum(
        one[row] < one[first[0]] and other[row] < other[first[1]] for row in rows
    )


def test_starts_at_one_instant_come_in_no_order() -> None:
    assert compared(jobs_of([1.0, 1.02, 5.0]), jobs_of([1.02, 1.0, 5.0])).divergence is None
    assert compared(jobs_of([1.0, 1.2, 5.0]), jobs_of([1.2, 1.0, 5.0])).divergence is not None


def test_the_same_order_is_the_same_whether_closer_or_further_apart_than_a_tie() -> None:
    assert compared(jobs_of([1.04, 1.0]), jobs_of([1.06, 1.0])).divergence is None


def test_a_chain_of_close_starts_is_no_single_instant() -> None:
    starts = [1.0 + 0.04 * index for index in range(20)]
    found = compared(jobs_of(starts), jobs_of(starts[::-1])).divergence
    assert [start.job for start in found.starts] == [1, 20]


def test_a_tie_in_one_arm_is_no_decision_though_the_other_has_none() -> None:
    """Jobs 1 and 2 start at one instant in the first arm; 3 and 4 are the first that change
    places."""
    found = compared(jobs_of([1.0, 1.02, 2.0, 3.0]), jobs_of([1.5, 1.0, 3.0, 2.0]))
    for divergence in (
        found.divergence,
        compared(*(arm.jobs for arm in found.arms[::-1])).divergence,
    ):
        assert divergence.common == 2 and {start.job for start in divergence.starts} == {3, 4}


def test_clocks_that_are_known_less_well_make_wider_ties() -> None:
    tables = jobs_of([1.0, 1.2]), jobs_of([1.2, 1.0])
    known = Check(name="clock error", value=0.01, limit=0.25, unit="s", ok=True)
    unsure = known.model_copy(update={"value": 0.12})
    assert compared(*tables, checks=(known,)).divergence is not None
    assert compared(*tables, checks=(unsure,)).divergence is None


def test_a_start_knows_what_it_looked_like_then() -> None:
    submits = [0.0, 0.5, 0.6]
    widths = [3, 4, 1]
    nodes = [["n1"], ["n1"], ["n2", "n1"]]
    one = jobs_of([1.0, 4.0, 2.0], widths=widths, submits=submits, nodes=nodes)
    other = jobs_of([1.0, 3.5, 9.0], widths=widths, submits=submits)
    found = compared(one, other)
    here, there = found.divergence.starts
    assert (here.job, here.at_s, here.free_slots, here.waiting_jobs, here.waiting_slots) == (
        3,
        2.0,
        1,
        1,
        4,
    )
    assert (here.elsewhere_s, here.nodes, there.nodes) == (9.0, ("n1", "n2"), ())
    (waiting,) = here.waiting
    assert (waiting.job, waiting.width, waiting.waited_s) == (2, 4, pytest.approx(1.5))
    assert (there.job, there.width, there.free_slots, there.waiting_jobs) == (2, 4, 4, 1)
    assert here.waited_s == pytest.approx(1.4)
    said = section_of(text_of(found), "the first decision")
    assert "1 jobs start in both before it" in said
    assert (
        "a:0 starts job 3 (1 wide) at 2.00 s, after 1.40 s on n1 n2; b:0 starts it at 9.00 s"
        in said
    )
    assert "1 of 4 slots are free then; 1 other job of 4 slots waits:" in said
    assert ["2", "4", "1.50"] in [line.split() for line in said.splitlines()]


def test_of_many_that_wait_the_longest_are_named() -> None:
    starts = [50.0 + index for index in range(30)]
    (start, _) = compared(jobs_of(starts), jobs_of(starts[::-1])).divergence.starts
    assert start.waiting_jobs == 29 and [one.job for one in start.waiting] == list(range(2, 10))


def test_other_nodes_are_told_though_the_order_is_the_same() -> None:
    starts = [3.0, 1.0, 2.0]
    one = jobs_of(starts, nodes=[["n1"], ["n1", "n2"], ["n3"]])
    other = jobs_of(starts, nodes=[["n2"], ["n2", "n1"], ["n4"]])
    found = compared(one, other)
    assert (found.placement.job, found.placement.nodes) == (3, (("n3",), ("n4",)))
    assert "the first job on other nodes: 3, on n3 in a:0 and on n4 in b:0" in text_of(found)
    assert compared(one, jobs_of(starts)).placement is None


def test_nodes_after_the_first_other_decision_say_nothing() -> None:
    one = jobs_of([1.0, 2.0, 3.0], nodes=[["n1"], ["n1"], ["n1"]])
    other = jobs_of([1.0, 3.0, 2.0], nodes=[["n1"], ["n2"], ["n2"]])
    found = compared(one, other)
    assert found.divergence is not None and found.placement is None


def test_accounts_tell_the_policys_wait_from_the_dispatch() -> None:
    found = compare(
        arm("a:0", jobs_of([3.0], native=[2.0]), resolution_s=1.0), arm("b:0", jobs_of([3.0]))
    )
    assert found.means["policy"] == pytest.approx((1.95, 2.95))
    assert found.means["dispatch"] == pytest.approx((1.0, 0.0))
    assert found.accounts == (1, 0)
    said = section_of(text_of(found), "where the time went")
    assert "a:0: the scheduler's own starts are rounded down to 1 s" in said
    assert "b:0: no start of the scheduler's own is known, so dispatch is 0" in said


def test_a_start_before_the_submission_is_in_the_submission() -> None:
    (change,) = compared(
        jobs_of([1.0], submits=[1.25], native=[0.0]), jobs_of([1.5], submits=[1.25])
    ).changes
    assert change.split[0] == {"submission": -0.25, "policy": 0, "dispatch": 0, "run": 2}
    assert change.response_s[0] == sum(change.split[0].values()) == 1.75


def test_jobs_without_accounts_are_counted() -> None:
    found = compared(
        jobs_of([3.0, 4.0], native=[2.0, None]), jobs_of([3.0, 4.0], native=[2.0, 3.0])
    )
    assert found.accounts == (1, 2)
    assert "a:0: of 1 jobs the scheduler's own start isn't known" in text_of(found)
    assert "b:0: of" not in text_of(found)


def test_a_job_that_never_started_in_one_arm_is_in_no_mean() -> None:
    found = compared(jobs_of([1.0, 2.0]), jobs_of([1.0, NEVER]))
    assert (found.jobs, found.ended, len(found.changes)) == (2, 1, 1)
    assert found.only == ((2,), ()) and found.divergence is None
    assert "only in a:0 started: job 2" in text_of(found)


def test_a_job_that_one_arm_never_starts_is_at_odds_with_those_after_it() -> None:
    found = compared(jobs_of([1.0, 2.0, 3.0]), jobs_of([1.0, NEVER, 3.0]))
    assert [start.job for start in found.divergence.starts] == [2, 3]
    assert "b:0 never starts it" in text_of(found)


def test_arms_in_which_nothing_ended_are_compared_all_the_same() -> None:
    found = compared(jobs_of([NEVER, NEVER]), jobs_of([NEVER, NEVER]))
    assert (found.ended, found.changes, found.divergence) == (0, (), None)
    assert found.means["run"] == (0.0, 0.0) and "on average" not in text_of(found)
    assert json.dumps(plain(found), allow_nan=False)


def test_other_jobs_are_no_comparison() -> None:
    with pytest.raises(LedgerError, match="didn't replay the same jobs") as caught:
        compared(
            jobs_of([1.0, 2.0]),
            jobs_of([1.0, 2.0], widths=[1, 2]),
            provenance={"workload_hash": "ab" * 32},
        )
    assert caught.value.details.splitlines() == [
        f"a:0 replayed 2 jobs of {'ab' * 6}",
        f"b:0 replayed 2 jobs of {'ab' * 6}",
        "width differs in 1 jobs, first in job 2: 1 against 2",
    ]
    with pytest.raises(LedgerError) as caught:
        compared(jobs_of([1.0]), jobs_of([1.0, 2.0]))
    assert (
        caught.value.details.splitlines()[-1]
        == "only the first has 0 of the jobs, only the second 1"
    )
    assert "the same workload" in caught.value.resolution


@pytest.mark.parametrize("column", ["arrival_s", "runtime_s", "requested_s"])
def test_each_column_of_the_trace_counts(column) -> None:
    with pytest.raises(LedgerError) as caught:
        compared(jobs_of([1.0]), jobs_of([1.0], **{column: 7.5}))
    assert caught.value.details.splitlines()[-1].startswith(
        f"{column} differs in 1 jobs, first in job 1: "
    )


def test_whose_the_jobs_are_makes_no_other_trace() -> None:
    assert compared(jobs_of([1.0]), jobs_of([1.0], user=9)).divergence is None


def test_the_order_of_rows_makes_no_other_trace() -> None:
    table = jobs_of([1.0, 3.0, 2.0])
    assert compared(table, table.take([2, 0, 1])).divergence is None


def test_what_differs_is_told_with_metrics_of_both() -> None:
    one = arm("a:0", jobs_of([1.0, 5.0]))
    other = arm("a:1", jobs_of([1.0, 2.0]), number=1)
    text = text_of(compare(one, other), top=1)
    for said in (
        "a:0 against a:1: the same 2 jobs",
        "awrt_s",
        "none: the jobs start in the same order",
    ):
        assert said in text
    assert "jobs that were faster in a:1: 1" in text and "faster in a:0" not in text
    assert "SchedulerType" in text
    assert "mean response time: a:1 is 1.5 s faster than a:0 (-30.3 %)" in text


def test_settings_that_no_trial_varies_differ_between_campaigns() -> None:
    one = arm("a:0", jobs_of([1.0]), fixed={"scheduler.params.bf_window": 60, "same": 1})
    other = arm("b:0", jobs_of([1.0]), fixed={"scheduler.params.bf_window": 1440, "same": 1})
    found = compare(one, other)
    assert found.differing == {"scheduler.params.bf_window": ("60", "1440")}
    assert ["bf_window", "60", "1440"] in [line.split() for line in text_of(found).splitlines()]


def test_objectives_come_first_then_the_common_ones() -> None:
    metrics = {"odd": 1.0, "makespan_s": 10.0, "node_hours": 2.0, "awrt_s": 5.0}
    one = arm("a:0", jobs_of([1.0]), metrics=metrics)
    other = arm(
        "b:0", jobs_of([1.0]), metrics={"odd": 1.0, "makespan_s": 12.5, "awrt_s": 4.0, "lone": 3.0}
    )
    found = compare(one, other, OBJECTIVES)
    assert list(found.metrics) == ["awrt_s", "makespan_s", "odd"]
    assert found.lone == {"node_hours": (2.0, None), "lone": (None, 3.0)}
    rows = [line.split() for line in section_of(text_of(found), "metrics").splitlines()[2:]]
    assert rows[:2] == [
        ["awrt_s", "less", "5", "4", "-20.0", "%"],
        ["makespan_s", "10", "12.5", "+25.0", "%"],
    ]
    assert ["node_hours", "less", "2", "–"] in rows  # noqa: RUF001


def test_what_kind_of_trial_an_arm_is_is_said() -> None:
    one = arm("a:0", jobs_of([1.0]), provenance={"testbed": "simulation"})
    other = arm("b:0", jobs_of([1.0]), outcome="invalid", reason="steal 0.31\nand more")
    text = text_of(compare(one, other))
    assert "a:0 is a simulation" in text and "b:0 is a simulation" not in text
    assert "b:0 is invalid: steal 0.31\n" in text


def test_the_json_has_every_job_and_adds_up() -> None:
    one = arm("a:0", jobs_of([1.0, 5.0, 6.0]), metrics={"awrt_s": 5.0}, absent={"lone": "why not"})
    other = arm("b:0", jobs_of([1.0, 7.0, 2.0]), metrics={"awrt_s": 4.0, "lone": 3.0})
    rows = [ManifestEntry("aspect", {"slurm": "x", "flux": "y"})]
    found = json.loads(json.dumps(plain(compare(one, other, OBJECTIVES), rows), allow_nan=False))
    awrt = {
        "objective": "minimize",
        "values": [5, 4],
        "difference": -1,
        "percent": -20,
        "absent": [None, None],
    }
    assert found["metrics"]["awrt_s"] == awrt
    assert found["metrics"]["lone"]["values"] == [None, 3] and found["metrics"]["lone"][
        "absent"
    ] == ["why not", None]
    assert [job["job"] for job in found["per_job"]] == [3, 1, 2]
    assert [start["job"] for start in found["divergence"]["starts"]] == [2, 3]
    total = found["split"]["response"]["total_difference_s"]
    assert (
        total
        == pytest.approx(-sum(job["gained_s"] for job in found["per_job"]))
        == pytest.approx(-2)
    )
    assert sum(
        found["split"][name]["total_difference_s"] for name in RESPONSE_PARTS
    ) == pytest.approx(total)
    assert found["fairness"][0]["equal"] is False


class Elements(HTMLParser):
    """Collects a page's elements."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_draws_both_and_escapes_foreign_text() -> None:
    evil = "<img src=x onerror=alert(1)>"
    nodes = [["n1"], [evil]]
    one, other = (
        arm(f"{name}{evil}", jobs_of([1.0, 2.0], nodes=nodes), fixed={evil: name}) for name in "ab"
    )
    found = compare(one, other)
    elements = Elements(page(found, list(sections(found, [], 10)))).found
    assert [tag for tag, _ in elements if tag in ("img", "script")] == []
    pictures = [attrs["class"] for tag, attrs in elements if tag == "svg"]
    assert pictures == ["chart gantt"] * 2
    assert all(
        attrs.get("href", "data:").startswith("data:") and "src" not in attrs
        for _, attrs in elements
    )


def test_a_hundred_thousand_jobs_are_compared_at_once() -> None:
    starts = [1.0 + index / 10 for index in range(100_000)]
    one = jobs_of(starts)
    other = jobs_of(starts[::-1])
    found = compared(one, other)
    assert [start.job for start in found.divergence.starts] == [1, 100_000]
    assert found.divergence.common == 0 and found.ended == 100_000
