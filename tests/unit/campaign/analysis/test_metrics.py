"""Metrics against values worked out by hand, and against references that look at every job for
every job."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.analysis.metrics import METRICS, ClusterFacts, compute
from campaign.analysis.metrics.timeline import (
    Timeline,
    backfilled,
    free_since,
    idle_while_waiting,
    last_below,
)
from campaign.config.compose import compose
from campaign.core.jobs import JOBS_SCHEMA, tau_of
from campaign.core.phases import Phase
from campaign.core.trials import Evaluation, Trial
from campaign.execution.judging import judge
from campaign.schema.model import CostSettings
from campaign.workloads.esp import esp

CLUSTER = ClusterFacts(nodes=2, slots=4, cost=CostSettings(node_hour=2.0))
PHASES = {
    Phase.GOLDEN: 5000.0,
    Phase.FALLBACK: 300.0,
    Phase.PLACED: 1000.0,
    Phase.STARTED: 60.0,
    Phase.REACHABLE: 40.0,
    Phase.WORKLOAD: 20.0,
}


def table(
    *jobs: tuple[int, float, float | None, float | None, float | None],
    exit_code: int = 0,
    users: list[int | None] | None = None,
) -> pa.Table:
    """Jobs as (width, intended, submitted, started, ended), each of a user of its own if `users`
    doesn't say whose."""
    rows = []
    for number, (width, intended, submit, start, end) in enumerate(jobs):
        times = {"intended_ns": intended, "submit_ns": submit, "start_ns": start, "end_ns": end}
        row = {name: None if value is None else int(value * 1e9) for name, value in times.items()}
        row |= {"job_id": number, "width": width, "user": users[number] if users else number}
        rows.append(row | {"exit_code": exit_code if end is not None else None})
    return pa.Table.from_pylist(rows, schema=JOBS_SCHEMA)


def values_of(
    jobs: pa.Table, cluster: ClusterFacts = CLUSTER, **changes: float
) -> dict[str, float]:
    return dict(compute(jobs, cluster, {}, **changes).values)


def why(name: str, jobs: pa.Table, cluster: ClusterFacts = CLUSTER) -> str:
    """Why a metric has no value."""
    computed = compute(jobs, cluster, {})
    assert name not in computed.values
    return computed.absent[name]


# Two jobs of 2 and 4 slots: waits 0 and 8 s, runs 10 and 2 s, responses 10 and 10 s, areas 20 and 8
# slot seconds.
TWO = table((2, 0, 0, 0, 10), (4, 2, 2.5, 10.5, 12.5))
BY_HAND = {
    "makespan_s": 12.5,
    "wait_mean_s": 4.0,
    "wait_median_s": 4.0,
    "wait_p95_s": 7.6,
    "wait_max_s": 8.0,
    "response_mean_s": 10.0,
    "response_median_s": 10.0,
    "response_p95_s": 10.0,
    "response_max_s": 10.0,
    "bounded_slowdown_mean": 1.0,
    "bounded_slowdown_median": 1.0,
    "bounded_slowdown_p95": 1.0,
    "slowdown_mean": (1 + 5) / 2,
    "slowdown_median": (1 + 5) / 2,
    "awrt_s": 10.0,
    "fairness_jain": 1.0,
    "utilisation": 28 / 50,
    "idle_fraction": 22 / 50,
    "utilisation_steady": 0.5,
    "fragmentation": (2 * 7.5 + 4 * 0.5)
    / 50,  # while the second job waits: before and after the first one's end
    "backfill_rate": 0.0,
    "dispatch_latency_mean_s": 0.5 / 2,
    "dispatch_latency_p95_s": 0.475,
    "policy_wait_mean_s": 7.5 / 2,
    "throughput_jobs_per_h": 2 / 12.5 * 3600,
    "node_hours": 2 * 12.5 / 3600,
    "node_hours_provisioned": 3 * 120 / 3600,
    "cost": 2.0 * 3 * 12.5 / 3600,
    "energy_kwh": (3 * 100 * 12.5 + 200 * 28 / 2) / 3.6e6,
    "submit_lag_mean_s": 0.25,
    "submit_lag_max_s": 0.5,
    "jobs_completed": 2,
    "jobs_preempted": 0,
    "jobs_unfinished": 0,
}


@pytest.mark.parametrize(("name", "expected"), BY_HAND.items())
def test_two_jobs_by_hand(name: str, expected: float) -> None:
    assert compute(TWO, CLUSTER, PHASES).values[name] == pytest.approx(expected)


def test_every_metric_has_a_hand_worked_value() -> None:
    computed = compute(TWO, CLUSTER, PHASES)
    assert set(computed.values) == set(BY_HAND)
    assert set(computed.values) | set(computed.absent) == set(METRICS)
    assert set(computed.absent) == {"esp_efficiency", "share_error"}  # below


def test_esp_efficiency_is_the_work_over_what_the_machine_could_have_done() -> None:
    workload = esp(slots=32, seed=1)
    width, runtime = (workload.table.column(name).to_numpy() for name in ("width", "runtime_s"))
    arrival = workload.table.column("arrival_s").to_numpy()
    end_ns = ((arrival + runtime + 1) * 1e9).astype(np.int64)  # a launch takes a second
    times = {
        "submit_ns": (arrival * 1e9).astype(np.int64),
        "start_ns": end_ns - 1,
        "end_ns": end_ns,
    }
    made = workload.table
    for name in (field for field in JOBS_SCHEMA.names if field not in made.column_names):
        made = made.append_column(
            name, pa.array(times[name]) if name in times else pa.nulls(len(workload))
        )
    found = values_of(made.cast(JOBS_SCHEMA), ClusterFacts(nodes=8, slots=32))["esp_efficiency"]
    assert found == pytest.approx((width * runtime).sum() / (32 * (arrival + runtime + 1).max()))


def test_awrt_weighs_by_area() -> None:
    jobs = table((1, 0, 0, 0, 10), (3, 0, 0, 20, 30))  # areas 10 and 30, responses 10 and 30
    assert values_of(jobs)["awrt_s"] == pytest.approx((10 * 10 + 30 * 30) / 40)


def test_bounded_slowdown_bounds_short_jobs_and_never_falls_below_one() -> None:
    jobs = table((1, 0, 0, 9, 10), (1, 0, 0, 0, 1))  # responses 10 and 1, runs 1 and 1
    assert values_of(jobs, tau_s=2)["bounded_slowdown_mean"] == pytest.approx((10 / 2 + 1) / 2)


def test_steady_utilisation_cuts_warm_up_and_drain() -> None:
    # Arrivals from 0 to 10 s: the window is 1..10 s, where the first job uses 4 slots for 4 s and
    # the last one none.
    jobs = table((4, 0, 0, 0, 5), (4, 10, 10, 10, 100))
    assert values_of(jobs)["utilisation_steady"] == pytest.approx(4 * 4 / (4 * 9))


def test_responses_of_unlike_jobs() -> None:
    values = values_of(table((1, 0, 0, 0, 10), (1, 0, 0, 0, 20), (1, 0, 0, 0, 60)))
    assert values["response_median_s"] == pytest.approx(20)
    assert values["response_p95_s"] == pytest.approx(20 + 0.9 * 40)
    assert values["response_max_s"] == pytest.approx(60)


def test_a_start_before_its_submission_by_the_clocks_hides_no_other_wait() -> None:
    # While the second job waits, two of four slots are idle, but one from 2 to 4 s; one clock is 2
    # s off.
    jobs = table((2, 0, 0, 0, 8), (4, 0, 0, 8, 10), (1, 3, 4, 2, 4))
    assert values_of(jobs)["fragmentation"] == pytest.approx((2 * 2 + 1 * 2 + 2 * 4) / 40)


def test_slowdowns_bounded_and_not_are_two_things() -> None:
    jobs = table((1, 0, 0, 9, 10), (1, 0, 0, 0, 1), (1, 0, 0, 3, 4))  # responses 10, 1, 4; runs 1
    values = values_of(jobs, tau_s=2)
    assert values["slowdown_mean"] == pytest.approx((10 + 1 + 4) / 3)
    assert values["slowdown_median"] == pytest.approx(4)
    assert values["bounded_slowdown_median"] == pytest.approx(2)
    assert values["bounded_slowdown_p95"] == pytest.approx(2 + 0.9 * 3)


def test_fairness_compares_what_users_got_on_the_mean() -> None:
    # With tau = 1, one user's two jobs are slowed down 1 and 5 times, the other's 1 time: (3 + 1)^2
    # / (2 (9 + 1)).
    jobs = table((1, 0, 0, 0, 1), (1, 0, 0, 4, 5), (1, 0, 0, 0, 1), users=[7, 7, 8])
    assert values_of(jobs, tau_s=1)["fairness_jain"] == pytest.approx(0.8)


def test_a_head_node_that_costs_nothing_draws_no_power_either() -> None:
    values = values_of(TWO, ClusterFacts(nodes=2, slots=4, cost=CostSettings(head_nodes=False)))
    assert values["cost"] == pytest.approx(2 * 12.5 / 3600)
    assert values["energy_kwh"] == pytest.approx((2 * 100 * 12.5 + 200 * 28 / 2) / 3.6e6)


# On four slots: A (3 wide) runs 0..10, B (4 wide) waits for it, C (1 wide) is filled in beside A.
FILLED = table((3, 0, 0, 0, 10), (4, 1, 1, 10, 12), (1, 2, 2, 3, 5))


def test_a_job_filled_in_before_one_that_does_not_fit_is_backfilled() -> None:
    assert values_of(FILLED)["backfill_rate"] == pytest.approx(1 / 3)


def test_jobs_launched_in_another_order_are_not_backfilled() -> None:
    # Both fit at 10 s, when the first ends; the second one submitted is launched 3 ms before the
    # other.
    jobs = table((4, 0, 0, 0, 10), (2, 1, 1, 10.005, 12), (2, 2, 2, 10.002, 12))
    assert values_of(jobs)["backfill_rate"] == 0


def test_at_one_instant_slots_are_given_in_order_of_submission() -> None:
    # All start at 10 s or later: A takes 2 of 4 slots, then B (4 wide) doesn't fit, and C gets what
    # A left.
    jobs = table((4, 0, 0, 0, 10), (2, 1, 1, 10, 20), (4, 2, 2, 20, 30), (2, 3, 3, 10, 20))
    assert values_of(jobs)["backfill_rate"] == pytest.approx(1 / 4)


def test_dispatch_latency_counts_from_when_slots_stayed_free() -> None:
    # The last job fits from 2 s to 4 s, then not until 8 s; it starts at 9 s.
    jobs = table((4, 0, 0, 0, 2), (4, 4, 4, 4, 8), (2, 1, 1, 9, 10))
    values = values_of(jobs)
    assert values["dispatch_latency_mean_s"] == pytest.approx((0 + 0 + 1) / 3)
    assert values["policy_wait_mean_s"] == pytest.approx((0 + 0 + 7) / 3)


def test_unfinished_jobs_are_counted_and_left_out() -> None:
    values = values_of(table((1, 0, 0, 1, 2), (1, 0, 0, None, None), (1, 0, 0, 50, None)))
    assert values["jobs_unfinished"] == 2
    assert values["makespan_s"] == 2


def test_jobs_that_failed_are_not_completed() -> None:
    assert values_of(table((1, 0, 0, 1, 2), exit_code=143))["jobs_completed"] == 0


@pytest.mark.parametrize("jobs", [table(), table((1, 0, 0, None, None))])
def test_without_a_finished_job_there_are_no_metrics_of_jobs(jobs: pa.Table) -> None:
    computed = compute(jobs, CLUSTER, {})
    assert set(computed.values) <= {
        "jobs_completed",
        "jobs_preempted",
        "jobs_unfinished",
        "submit_lag_max_s",
        "submit_lag_mean_s",
    }
    assert computed.absent["awrt_s"] == "no job finished"


TOGETHER = table((1, 0, 0, 0, 5), (1, 0, 0, 0, 5))
ONE_BY_ONE = table(
    (1, 0, 0, 0, 5), (1, 0, 0.004, 0.004, 5)
)  # should arrive at once, but submitting takes its time
INSTANT = table((1, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("name", "jobs", "cluster", "reason"),
    [
        ("utilisation_steady", TOGETHER, CLUSTER, "all jobs arrived at once"),
        ("utilisation_steady", ONE_BY_ONE, CLUSTER, "all jobs arrived at once"),
        ("utilisation_steady", table((1, 0, 0, 0, 5)), CLUSTER, "one job has no steady state"),
        ("slowdown_mean", INSTANT, CLUSTER, "infinite slowdown: 1"),
        ("slowdown_median", INSTANT, CLUSTER, "infinite slowdown: 1"),
        ("awrt_s", INSTANT, CLUSTER, "ran for no time"),
        *(
            (name, INSTANT, CLUSTER, "no time passed")
            for name in ("utilisation", "idle_fraction", "fragmentation")
        ),
        ("throughput_jobs_per_h", INSTANT, CLUSTER, "no time passed"),
        (
            "fairness_jain",
            table((1, 0, 0, 0, 5), (1, 0, 0, 0, 5), users=[3, 3]),
            CLUSTER,
            "one user",
        ),
        (
            "fairness_jain",
            table((1, 0, 0, 0, 5), (1, 0, 0, 0, 5), users=[3, None]),
            CLUSTER,
            "isn't known",
        ),
        ("node_hours_provisioned", TWO, CLUSTER, "nothing was provisioned"),
        ("submit_lag_max_s", table((1, 0, None, None, None)), CLUSTER, "no job was submitted"),
        ("submit_lag_mean_s", table((1, 0, None, None, None)), CLUSTER, "no job was submitted"),
        ("esp_efficiency", TWO, CLUSTER, "not an ESP-2 run"),
        *(
            (name, TWO, ClusterFacts(nodes=0, slots=4), "how many nodes")
            for name in ("cost", "energy_kwh", "node_hours")
        ),
        *(
            (name, TWO, ClusterFacts(nodes=2, slots=0), "how many slots")
            for name in (
                *(
                    "utilisation",
                    "utilisation_steady",
                    "idle_fraction",
                    "fragmentation",
                    "backfill_rate",
                    "energy_kwh",
                ),
                *(
                    "dispatch_latency_mean_s",
                    "dispatch_latency_p95_s",
                    "policy_wait_mean_s",
                    "esp_efficiency",
                ),
            )
        ),
    ],
)
def test_a_metric_without_a_meaning_says_why(
    name: str, jobs: pa.Table, cluster: ClusterFacts, reason: str
) -> None:
    assert reason in why(name, jobs, cluster)


def test_simulating_provisions_nothing() -> None:
    computed = compute(TWO, CLUSTER, {Phase.SIMULATED: 3.0})
    assert computed.absent["node_hours_provisioned"] == "nothing was provisioned"


def test_what_was_provisioned_has_no_hours_where_nodes_are_unknown() -> None:
    assert (
        "how many nodes"
        in compute(TWO, ClusterFacts(nodes=0, slots=4), PHASES).absent["node_hours_provisioned"]
    )


def test_a_value_is_never_told_as_not_a_number() -> None:
    wrong = TWO.set_column(TWO.column_names.index("width"), "width", pa.nulls(2, pa.int32()))
    assert why("utilisation", wrong) == "the jobs table lacks what it is computed from"
    assert all(np.isfinite(value) for value in values_of(wrong).values())


def test_the_definition_names_the_tau_that_was_used() -> None:
    assert METRICS["bounded_slowdown_mean"].defined("0.1 s").endswith("tau = 0.1 s")
    assert METRICS["slowdown_mean"].defined("0.1 s") == METRICS["slowdown_mean"].definition
    assert {name for name, metric in METRICS.items() if "tau" in metric.defined("x")} == {
        name
        for name, value in values_of(FILLED, tau_s=0.1).items()
        if value != values_of(FILLED, tau_s=1e6)[name]
    }
    assert tau_of(0.01) == pytest.approx(0.1)


def test_a_trial_without_an_objective_is_invalid_and_says_why() -> None:
    composed = compose(["workload.time_scale=0.01", "cost.node_hour=3", "cluster.nodes=2"])
    wanted = {"utilisation_steady": "maximize", "cost": "minimize"}
    campaign = composed.campaign.model_copy(update={"objectives": wanted})
    trial = Trial(number=0, point={})
    record = judge(
        trial, Evaluation("ok", jobs=TOGETHER), campaign, composed.space, times=(0.0, 1.0)
    )
    assert (record.outcome, record.reason) == (
        "invalid",
        "no value for utilisation_steady: all jobs arrived at once",
    )
    assert record.absent["utilisation_steady"] == "all jobs arrived at once"
    assert record.metrics["cost"] == pytest.approx(3 * 3 * 5 / 3600)
    late = judge(trial, Evaluation("ok", jobs=FILLED), campaign, composed.space, times=(0.0, 1.0))
    assert (
        late.metrics["bounded_slowdown_mean"] == late.metrics["slowdown_mean"]
    )  # all run for longer than 0.1 s
    nothing = judge(trial, Evaluation("ok"), campaign, composed.space, times=(0.0, 1.0))
    assert nothing.reason.startswith(
        "no value for utilisation_steady: there is no jobs table; no value for cost: "
    )


def test_real_hours_are_not_counted_where_time_is_virtual() -> None:
    hours = {}
    for kind in ("libvirt", "virtual-time"):
        composed = compose([f"testbed={kind}", "cluster.nodes=2"])
        evaluation = Evaluation("ok", jobs=FILLED, phases=PHASES)
        trial = Trial(number=0, point={})
        record = judge(trial, evaluation, composed.campaign, composed.space, times=(0.0, 1.0))
        hours[kind] = record.metrics.get("node_hours_provisioned")
        assert record.phases == PHASES
    assert hours == {"libvirt": pytest.approx(0.1), "virtual-time": None}


SLOTS = 4
WHOLE = st.integers(0, 8)
JOBS = st.lists(
    st.tuples(st.integers(1, SLOTS), WHOLE, WHOLE, st.integers(0, 5)), min_size=1, max_size=12
)
"""Jobs as (width, submission, wait, run) in whole seconds, more of them at once than the slots
hold, too."""


def columns_of(
    jobs: list[tuple[int, int, int, int]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    width, submit, wait, run = np.array(jobs, dtype=np.float64).T
    return width, submit, submit + wait, submit + wait + run


def used_in(second: int, jobs: list[tuple[int, int, int, int]]) -> int:
    """Slots in use from a whole second to the next."""
    return sum(
        width for width, submit, wait, run in jobs if submit + wait <= second < submit + wait + run
    )


@given(JOBS)
def test_dispatch_latency_is_that_of_a_look_at_every_second(
    jobs: list[tuple[int, int, int, int]],
) -> None:
    width, submit, start, end = columns_of(jobs)
    found = free_since(Timeline.of(width, submit, start, end), SLOTS, width, start)
    for number, (wide, submitted, wait, _) in enumerate(jobs):
        ready = submitted + wait
        while ready > submitted and SLOTS - used_in(ready - 1, jobs) >= wide:
            ready -= 1
        assert max(found[number], submitted) == ready


@given(JOBS)
def test_idle_slots_are_those_of_a_look_at_every_second(
    jobs: list[tuple[int, int, int, int]],
) -> None:
    waits = [
        any(submit <= second < submit + wait for _, submit, wait, _ in jobs) for second in range(30)
    ]
    expected = sum(max(0, SLOTS - used_in(second, jobs)) for second in range(30) if waits[second])
    assert idle_while_waiting(Timeline.of(*columns_of(jobs)), SLOTS) == expected


@given(JOBS)
def test_backfilled_jobs_are_those_of_a_replay_of_all_starts(
    jobs: list[tuple[int, int, int, int]],
) -> None:
    queue = sorted(range(len(jobs)), key=lambda number: jobs[number][1])
    starts = {number: jobs[number][1] + jobs[number][2] for number in queue}
    expected = {}
    waiting = list(queue)
    running = []
    for number in sorted(queue, key=starts.get):
        now = starts[number]
        running = [other for other in running if starts[other] + jobs[other][3] > now]
        free = SLOTS - sum(jobs[other][0] for other in running)
        waiting.remove(number)
        ahead = [
            other for other in waiting[: _place(waiting, number, queue)] if starts[other] > now
        ]
        expected[number] = bool(ahead) and jobs[ahead[0]][0] > free
        running += [number] if jobs[number][3] else []
    assert backfilled(*columns_of(jobs), SLOTS).tolist() == [expected[number] for number in queue]


def _place(waiting: list[int], number: int, queue: list[int]) -> int:
    """How many of the waiting jobs stand before one in the queue."""
    return sum(queue.index(other) < queue.index(number) for other in waiting)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.data())
def test_the_last_smaller_value_is_that_of_a_walk_backwards(
    values: list[int], data: st.DataObject
) -> None:
    queries = data.draw(
        st.lists(
            st.tuples(st.integers(0, len(values)), st.integers(0, 10)), min_size=1, max_size=20
        )
    )
    before, bound = np.array(queries).T
    expected = [max((k for k in range(b) if values[k] < w), default=-1) for b, w in queries]
    assert last_below(np.array(values, dtype=float), before, bound).tolist() == expected
