"""Each check of the validity gate: it passes a sound trial and catches the one thing it is there
for."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.analysis.rules import RULES
from campaign.analysis.validity import check_schedule, check_trial, reason, valid
from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Check
from campaign.guest.clocks import ClockOffset, NodeClock
from campaign.schema.model import ValiditySettings
from schedulers.base import LaunchLimit
from schedulers.registry import adapter

S = 1_000_000_000


def job(
    number: int,
    start: float,
    end: float,
    width: int = 1,
    nodes: tuple[str, ...] = ("n1",),
    **changes: Any,
) -> dict[str, Any]:
    row = {
        "job_id": number,
        "width": width,
        "nodes_requested": len(nodes),
        "nodes": list(nodes),
        "intended_ns": 0,
        "submit_ns": S // 10,
        "start_ns": int(start * S),
        "all_started_ns": int(start * S),
        "end_ns": int(end * S),
        "exit_code": 0,
        "native_state": "COMPLETED",
        "native_start_s": float(int(start)),
        "native_end_s": float(int(end)),
    }
    return row | changes


def clock(error_s: float) -> NodeClock:
    return NodeClock(ClockOffset(0, error_s, 0), ClockOffset(0, 0.0, 100))


def checks(*rows: dict[str, Any], **changes: Any) -> tuple[Check, ...]:
    facts: dict[str, Any] = {
        "slots": {"n1": 4, "n2": 4},
        "clocks": {"head": clock(0.01), "n1": clock(0.01), "n2": clock(0.01)},
        "steal": {"host": 0.01},
        "cpu_taken": 0.02,
        "dispatch_delay_s": 1.0,
        "vcpus_per_cpu": 2.0,
        "memory_promised": 0.3,
        "lost_nodes": [],
        "console_faults": [],
        "settings": ValiditySettings(max_native_gap_s=3),
        "launch_limit": LaunchLimit(2.0, at_once=1),
        "resolution_s": 1.0,
    }
    return check_trial(pa.Table.from_pylist(list(rows), schema=JOBS_SCHEMA), **(facts | changes))


SOUND = (
    job(1, 1, 5, width=4),
    job(2, 5, 9, width=2),
    job(3, 5, 8, width=6, nodes=("n1", "n2")),
    job(4, 8.001, 9, width=4, nodes=("n2",)),
)


def test_a_sound_trial_is_valid() -> None:
    found = checks(*SOUND)
    assert valid(found), reason(found)
    assert reason(found) == ""


def test_a_trial_without_jobs_has_nothing_against_it() -> None:
    assert valid(checks())


@pytest.mark.parametrize(
    ("name", "rows", "facts"),
    [
        ("incomplete jobs", [job(1, 1, 2, exit_code=143)], {}),
        (
            "incomplete jobs",
            [job(1, 1, 2, start_ns=None, end_ns=None, exit_code=None, nodes_requested=1)],
            {},
        ),
        ("jobs on other nodes than asked for", [job(1, 1, 2, nodes=("n1", "n1"))], {}),
        ("jobs on other nodes than asked for", [job(1, 1, 2, nodes=("elsewhere",))], {}),
        ("slots overbooked on a node", [job(1, 1, 5, width=3), job(2, 4, 6, width=2)], {}),
        (
            "slots overbooked on a node",
            [job(1, 1, 5, width=6, nodes=("n1", "n2")), job(2, 4, 6, width=3)],
            {},
        ),
        ("times out of order", [job(1, 0.5, 2, submit_ns=S)], {}),
        ("times out of order", [job(1, 2, 1, native_end_s=1.0)], {}),
        ("unmeasured clocks", [], {"clocks": {"head": clock(0), "n1": clock(0)}}),
        ("clock error", [], {"clocks": {"n1": clock(0.26), "n2": clock(0)}}),
        ("submission lag", [job(1, 6, 7, submit_ns=6 * S)], {}),
        ("CPU steal", [], {"steal": {"a": 0.0, "b": 0.2}}),
        ("CPU time taken by others", [job(1, 2.2, 3)], {"cpu_taken": 0.6}),
        ("lost nodes", [], {"lost_nodes": ["n2"]}),
        ("console faults", [], {"console_faults": ["Kernel panic"]}),
        (
            "jobs missing in native accounting",
            [job(1, 10, 20, native_state=None, native_start_s=None, native_end_s=None)],
            {},
        ),
        ("gap to native starts", [job(1, 10, 20, native_start_s=3.5)], {}),
        ("gap to native ends", [job(1, 10, 20, native_end_s=25.0)], {}),
    ],
)
def test_one_fault_fails_one_check(
    name: str, rows: list[dict[str, Any]], facts: dict[str, Any]
) -> None:
    found = checks(*rows, **facts)
    assert [check.name for check in found if not check.ok] == [name]
    assert name in reason(found)


def test_a_job_that_was_ended_for_another_one_is_what_the_policy_wanted() -> None:
    ended = job(1, 1, 2, exit_code=143, native_state="PREEMPTED")
    assert valid(checks(ended))
    assert not valid(checks({**ended, "native_state": "CANCELLED"}))


def test_a_job_on_too_few_nodes_is_incomplete_and_not_as_asked() -> None:
    failed = [
        check.name for check in checks(job(1, 1, 2, width=6, nodes_requested=2)) if not check.ok
    ]
    assert failed == [
        "incomplete jobs",
        "jobs on other nodes than asked for",
        "slots overbooked on a node",
    ]


def test_a_job_that_was_never_submitted_is_told_apart_from_others_that_are_incomplete() -> None:
    lost = job(
        1,
        0,
        0,
        nodes=(),
        submit_ns=None,
        start_ns=None,
        end_ns=None,
        exit_code=None,
        nodes_requested=1,
    )
    found = {
        check.name: check.value for check in checks(lost, job(2, 1, 2, exit_code=1)) if not check.ok
    }
    assert found == {"jobs not submitted": 1, "incomplete jobs": 2}


def test_overlap_within_the_clock_error_is_no_overload() -> None:
    rows = job(1, 1, 5, width=4), job(2, 4.99, 6, width=4)
    assert valid(checks(*rows))
    assert not valid(checks(*rows, clocks={"n1": clock(0.001), "n2": clock(0.001)}))


def test_native_gaps_allow_for_the_resolution_and_starts_for_the_launch() -> None:
    row = job(1, 10, 20, native_start_s=4.5, native_end_s=23.5)
    assert valid(checks(row))
    for allowance in ({"launch_limit": LaunchLimit(0.0, at_once=1)}, {"resolution_s": 0.0}):
        assert not valid(checks(row, **allowance))
    assert not valid(checks(job(1, 10, 20, native_end_s=24.5)))


BURST = {
    # Seconds from a node to the first instruction, of pods that began at once on one node; their
    # wrappers ran for ten seconds more.
    1: [58.0],
    2: [22.0, 52.0],
    3: [61.0, 62.0, 63.0],
    4: [67.0, 75.0, 80.0, 90.0],
}


def burst(took_s: list[float], apart_s: float = 0.0) -> list[dict[str, Any]]:
    return [
        job(
            number,
            100.5 + number * apart_s + took,
            200.5 + number * apart_s + took,
            native_start_s=100.0 + number * apart_s,
        )
        for number, took in enumerate(took_s)
    ]


def starts_agree(
    rows: list[dict[str, Any]], slowness: float = 1.0, *, dense: bool = False
) -> Check:
    limit = adapter("volcano").launch_limit.on(slowness)
    found = checks(*rows, settings=ValiditySettings(), launch_limit=limit, dense=dense)
    return next(check for check in found if check.name == "gap to native starts")


@pytest.mark.parametrize("took_s", BURST.values(), ids=BURST)
def test_more_launches_at_once_on_a_node_may_take_longer(took_s: list[float]) -> None:
    assert starts_agree(burst(took_s)).ok


def test_a_launch_may_take_long_only_beside_others_on_its_own_node() -> None:
    late = [80.0, 80.0, 80.0]
    together = starts_agree(burst(late))
    assert together.ok and together.limit == 60 * 3 / 2 + 6
    assert not starts_agree(burst(late[:2])).ok
    one_after_the_other = starts_agree(burst(late, apart_s=90.0))
    assert not one_after_the_other.ok and one_after_the_other.limit == 66
    elsewhere = burst(late)
    for number, row in enumerate(elsewhere):
        row["nodes"] = [f"n{number}"]
    assert not starts_agree(elsewhere).ok
    assert starts_agree(elsewhere, dense=True).ok  # they share the CPUs of one VM
    wide = [row | {"nodes": ["n1", "n2"], "nodes_requested": 2} for row in burst(late)]
    assert starts_agree(wide).ok


def test_a_launch_that_takes_for_ever_earns_no_more_time_by_that() -> None:
    """What comes to the node later than a launch should have ended doesn't excuse it."""
    rows = burst([600.0, *[1.0] * 9], apart_s=61.0)
    assert not starts_agree(rows).ok and starts_agree(rows).limit == 66


def test_the_worst_launch_by_its_own_limit_is_told() -> None:
    rows = [*burst([100.0, 100.0, 100.0, 100.0]), job(9, 570.5, 580.5, native_start_s=500.0)]
    told = starts_agree(rows)
    assert not told.ok and told.value == 70.5 and told.limit == 66


def test_a_slow_host_launches_more_slowly() -> None:
    rows = burst([100.0])
    assert not starts_agree(rows).ok
    assert starts_agree(rows, slowness=2.0).ok and starts_agree(rows, slowness=0.1).limit == 66


def test_every_check_is_made_and_bounded_by_its_setting() -> None:
    found = checks(*SOUND)
    assert [check.name for check in found] == list(RULES)
    loose = ValiditySettings(**{rule.limit: 1 for rule in RULES.values()})
    nothing = LaunchLimit(0.0, at_once=1)
    assert all(
        check.limit == 1
        for check in checks(*SOUND, settings=loose, launch_limit=nothing, resolution_s=0)
    )
    assert {check.name: check.unit for check in found} == {
        name: rule.unit for name, rule in RULES.items()
    }
    assert {rule.limit for rule in RULES.values()} == set(ValiditySettings.model_fields)


TAKEN = "CPU time taken by others"


def others(*rows: dict[str, Any], **changes: Any) -> Check | None:
    """Return the check of a host of which others take 60 % of what nodes want."""
    found = checks(*rows, **({"cpu_taken": 0.6} | changes))
    return next((check for check in found if check.name == TAKEN), None)


def test_others_count_only_where_a_job_was_dispatched_late() -> None:
    """A launch may take 2 s and the scheduler waits 1 s: a job is late after more than 2 s."""
    prompt = others(job(1, 2.1, 3))
    assert prompt is not None and prompt.ok and prompt.limit == 1.0
    late = others(job(1, 2.2, 3))
    assert late is not None and not late.ok and (late.value, late.limit) == (0.6, 0.5)
    # The same delay is the scheduler's own, or what its launches take.
    for allowed in ({"dispatch_delay_s": 1.1}, {"launch_limit": LaunchLimit(2.2, at_once=1)}):
        found = others(job(1, 2.2, 3), **allowed)
        assert found is not None and found.ok


def test_a_late_job_on_a_host_without_others_is_the_schedulers_own_doing() -> None:
    found = others(job(1, 60, 61), cpu_taken=0.5)
    assert found is not None and found.ok
    assert others(job(1, 60, 61), cpu_taken=None) is None  # unknown is not checked


@pytest.mark.parametrize(
    "rows",
    [
        # No room before the job that came first has ended.
        [job(1, 1, 60, width=8), job(2, 61, 62, submit_ns=S)],
        # Behind a job that waits, by the order of the queue.
        [job(1, 1, 60, width=8), job(2, 60, 70, submit_ns=S), job(3, 61, 70, submit_ns=2 * S)],
        # Backfilled at the scheduler's leisure, while one that came earlier still waits.
        [
            job(1, 1, 60, width=4),
            job(2, 60, 70, width=8, submit_ns=S),
            job(3, 50, 55, submit_ns=2 * S),
        ],
        # One after the other, each soon after the one before.
        [job(number, 1.5 * number, 60) for number in range(1, 5)],
        # The scheduler took long to answer the submission itself.
        [job(1, 9, 10, accepted_ns=8 * S)],
        # One that never started, and one behind it.
        [job(1, 1, 2, start_ns=None, end_ns=None), job(2, 9, 10, submit_ns=2 * S)],
        [job(1, 1, 2, submit_ns=None)],
    ],
)
def test_a_job_that_waits_its_turn_is_not_late(rows: list[dict[str, Any]]) -> None:
    found = others(*rows)
    assert found is not None and found.ok


def test_a_job_behind_others_is_late_from_when_its_turn_came() -> None:
    found = others(job(1, 1, 60), job(2, 5, 60, submit_ns=2 * S))
    assert found is not None and not found.ok
    freed = others(job(1, 1, 10, width=8), job(2, 13, 20, submit_ns=2 * S))
    assert freed is not None and not freed.ok


def test_a_threshold_may_be_raised() -> None:
    failed = job(1, 1, 2, exit_code=143)
    assert valid(checks(failed, settings=ValiditySettings(max_incomplete_jobs=1)))


def schedule(*rows: dict[str, Any]) -> tuple[Check, ...]:
    table = pa.Table.from_pylist(list(rows), schema=JOBS_SCHEMA)
    return check_schedule(table, slots={"n1": 4, "n2": 4}, settings=ValiditySettings())


def test_a_simulated_schedule_is_judged_by_its_jobs_only() -> None:
    unseen = {"native_state": None, "native_start_s": None, "native_end_s": None}
    found = schedule(*(row | unseen for row in SOUND))
    assert valid(found)
    assert [check.name for check in found] == [name for name, rule in RULES.items() if rule.of_jobs]
    assert reason(schedule(job(1, 1, 5, width=3), job(2, 4, 6, width=2))).startswith(
        "slots overbooked on a node: 1 "
    )


def test_where_no_placement_was_kept_nothing_is_said_of_nodes() -> None:
    unplaced = [row | {"nodes": None} for row in SOUND]
    found = schedule(*unplaced)
    assert valid(found)
    assert not [check.name for check in found if "node" in check.name]
    assert not valid(schedule(*unplaced, SOUND[0] | {"exit_code": 1, "nodes": None}))
    assert not valid(schedule(*unplaced[:-1], SOUND[-1])), (
        "one placement is enough to know that others are missing"
    )


def overload(rows: list[dict[str, Any]], slots: dict[str, int], margin: int) -> int:
    """The most slots surely in use on a node beyond its own, by looking at every second."""
    worst = 0
    for second in range(20):
        for name, own in slots.items():
            used = 0
            for row in rows:
                known = [node for node in row["nodes"] if node in slots]
                if (
                    name in known
                    and row["start_ns"] // S + margin <= second < row["end_ns"] // S - margin
                ):
                    used += max(
                        1, row["width"] - sum(slots[node] for node in known if node != name)
                    )
            worst = max(worst, used - own)
    return worst


PLACED = st.tuples(
    st.integers(0, 8),
    st.integers(0, 6),
    st.integers(1, 9),
    st.sets(st.sampled_from(["n1", "n2", "n3", "x"])),
)


@given(st.lists(PLACED, min_size=1, max_size=10), st.integers(0, 1))
def test_overload_is_that_of_a_look_at_every_second(
    jobs: list[tuple[int, int, int, set[str]]], margin: int
) -> None:
    slots = {"n1": 1, "n2": 2, "n3": 4}
    rows = [
        job(number, start, start + run, width, tuple(sorted(nodes)))
        for number, (start, run, width, nodes) in enumerate(jobs)
    ]
    table = pa.Table.from_pylist(rows, schema=JOBS_SCHEMA)
    found = check_schedule(table, slots=slots, settings=ValiditySettings(), clock_error_s=margin)
    assert {check.name: check.value for check in found}["slots overbooked on a node"] == overload(
        rows, slots, margin
    )
