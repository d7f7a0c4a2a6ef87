"""The Pareto front: what is on it, what never is, and that order and repetition don't matter."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.trials import TrialRecord
from campaign.schema.search import Bound
from search.constraints import limits
from search.pareto import dominates, feasible, front, standstill_of

BOTH = {"wait": "minimize", "use": "maximize"}
# Few distinct values, so that ties and duplicates are common.
VALUES = st.integers(0, 6).map(float)


def trial(
    number: int, wait: float, use: float, outcome: str = "ok", **metrics: float
) -> TrialRecord:
    return TrialRecord(
        number=number,
        point={"cluster.nodes": number},
        attempt=1,
        outcome=outcome,
        metrics={"wait": wait, "use": use, **metrics},
    )


@st.composite
def trials(draw):
    pairs = draw(
        st.lists(
            st.tuples(VALUES, VALUES, st.sampled_from(["ok", "ok", "ok", "invalid"])), max_size=25
        )
    )
    return [trial(number, *pair) for number, pair in enumerate(pairs)]


def numbers(records: list[TrialRecord]) -> list[int]:
    return [record.number for record in records]


@given(trials())
def test_nothing_valid_dominates_the_front_and_all_else_is_dominated(records):
    best = front(records, BOTH)
    valid = [record for record in records if record.valid]
    assert not any(dominates(other, member, BOTH) for member in best for other in valid)
    left = [record for record in valid if record not in best]
    assert all(any(dominates(member, record, BOTH) for member in best) for record in left)


@given(trials(), st.integers(0, 1000))
def test_the_front_does_not_depend_on_the_order_of_the_trials(records, seed):
    shuffled = random.Random(seed).sample(records, len(records))
    assert front(shuffled, BOTH) == front(records, BOTH)


@given(trials())
def test_the_front_of_the_front_is_the_front_and_it_is_sorted(records):
    best = front(records, BOTH)
    assert front(best, BOTH) == best
    waits = [record.metrics["wait"] for record in best]
    assert waits == sorted(waits)


@given(trials())
def test_domination_is_never_mutual(records):
    assert not any(
        dominates(a, b, BOTH) and dominates(b, a, BOTH) for a in records for b in records
    )


@given(trials(), st.integers(0, 6))
def test_infeasible_trials_leave_the_front_to_the_others(records, limit):
    constrained = front(records, BOTH, {"wait": Bound(max=limit)})
    assert constrained == front(
        [record for record in records if record.metrics["wait"] <= limit], BOTH
    )


def test_directions_are_obeyed_and_the_first_objective_sorts():
    records = [trial(0, 5, 0.9), trial(1, 1, 0.2), trial(2, 5, 0.1), trial(3, 2, 0.5)]
    assert numbers(front(records, BOTH)) == [1, 3, 0]
    assert numbers(front(records, {"use": "maximize", "wait": "minimize"})) == [0, 3, 1]


def test_three_objectives_keep_what_two_would_drop():
    records = [trial(0, 1, 0.9, cost=5), trial(1, 2, 0.5, cost=1)]
    assert numbers(front(records, BOTH)) == [0]
    assert numbers(front(records, {**BOTH, "cost": "minimize"})) == [0, 1]


def test_equal_values_of_different_points_stay_and_a_repeated_point_counts_once():
    one = trial(1, 1, 0.5)
    same_values = trial(2, 1, 0.5)
    repeated = trial(3, 1, 0.5).model_copy(update={"point": one.point})
    assert numbers(front([repeated, same_values, one], BOTH)) == [1, 2]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_trial_without_a_usable_value_is_left_out(value):
    lacking = trial(2, 0, 1).model_copy(update={"metrics": {"wait": 0.0}})
    assert numbers(front([trial(0, 1, 0.5), trial(1, value, 1.0), lacking], BOTH)) == [0]


def test_an_unmeasured_constraint_is_not_met():
    assert not feasible(trial(0, 1, 1), limits({"p95": Bound(max=3)}, None))
    assert feasible(trial(0, 1, 1, p95=3), limits({"p95": Bound(max=3, min=3)}, None))


def test_no_trials_no_front():
    assert front([], BOTH) == []


def values(records: list[TrialRecord]) -> set[tuple[float, float]]:
    return {(record.metrics["wait"], record.metrics["use"]) for record in records}


@given(trials(), st.sampled_from([None, Bound(max=3.0), Bound(max_x_baseline=1.0)]))
def test_the_last_trial_that_moved_the_front_is_the_last_one_without_which_it_were_another(
    records, bound
):
    records = [one.model_copy(update={"baseline": one.number == 0}) for one in records]
    constraints = {"wait": bound} if bound else {}
    fronts = [values(front(records[:end], BOTH, constraints)) for end in range(len(records) + 1)]
    moved = [n for n in range(len(records)) if fronts[n + 1] != fronts[n]]
    found = standstill_of(reversed(records), BOTH, constraints)
    assert found.moved == (moved[-1] if moved else None)
    assert found.after(len(records)) == (len(records) - 1 - moved[-1] if moved else 0)


def test_trials_before_a_start_do_not_count_as_a_standstill():
    found = standstill_of([trial(0, 1.0, 1.0)], BOTH, {})
    assert [found.after(9, since) for since in (0, 1, 4, 12)] == [8, 8, 5, 0]


def test_a_trial_that_was_ruled_out_moves_no_front():
    lost = trial(1, 0.5, 1.0).model_copy(update={"ruled_out": "it has lost"})
    assert standstill_of([trial(0, 1.0, 1.0), lost], BOTH, {}).moved == 0
