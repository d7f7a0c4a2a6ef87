"""Effects of single settings around a point: found in the record, and points to try for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.analysis.front.effects import neighbours, setting_effects
from campaign.core.trials import TrialRecord
from search.space import (
    ARMS,
    SCHEDULER,
    Categorical,
    Condition,
    Integer,
    Real,
    Space,
    holds,
)

OBJECTIVES = {"awrt_s": "minimize", "utilisation": "maximize"}
DIMENSIONS = {
    "mode": Categorical(("a", "b", "c")),
    "nodes": Integer(4, 64, step=4),
    "window": Integer(1, 10_000, log=True),
    "share": Real(0, 1),
    "rate": Real(0.001, 1000, log=True),
}
SPACE = Space(DIMENSIONS, {})
POINT = {"mode": "b", "nodes": 8, "window": 100, "share": 0.95, "rate": 1.0}


def trial(number: int, point, awrt: float, use: float, outcome: str = "ok"):
    return TrialRecord(
        number=number,
        point=point,
        attempt=1,
        outcome=outcome,
        metrics={"awrt_s": awrt, "utilisation": use},
    )


def test_trials_that_differ_in_one_setting_show_its_effect():
    chosen = trial(3, {"a": 1, "b": True}, 100, 0.5)
    records = [
        trial(0, {"a": 2, "b": False}, 1, 1),
        trial(1, {"a": 10, "b": True}, 150, 0.5),
        trial(2, {"a": 2, "b": True}, 80, 0.6),
        chosen,
        trial(4, {"a": 2, "b": True}, 81, 0.6),
        trial(5, {"a": 1, "b": False}, 100, 0.25),
        trial(6, {"a": 3, "b": True}, 0, 0, "invalid"),
        trial(7, {"a": 1}, 50, 0.5),
    ]
    found = setting_effects(chosen, records, OBJECTIVES)
    assert [(one.setting, one.value, one.trial) for one in found] == [
        ("a", 2, 2),
        ("a", 10, 1),
        ("b", False, 5),
    ]
    assert found[0].chosen == 1
    assert found[0].percent == pytest.approx({"awrt_s": -20, "utilisation": 20})


def test_what_is_0_at_the_chosen_point_has_no_per_cent():
    chosen = trial(0, {"a": 1}, 0, 0.5)
    (found,) = setting_effects(chosen, [trial(1, {"a": 2}, 5, 0.5)], OBJECTIVES)
    assert found.percent == {"utilisation": 0}


def test_neighbours_are_a_tenth_of_the_range_away_or_at_its_end():
    found = {}
    for one in neighbours(SPACE, POINT):
        (setting,) = (name for name in POINT if one[name] != POINT[name])
        found.setdefault(setting, []).append(one[setting])
    assert found["mode"] == ["a", "c"]
    assert found["nodes"] == [4, 16]
    assert found["window"] == [40, 251]
    assert found["share"][1] == 1
    assert [round(value, 4) for value in found["rate"]] == [0.2512, 3.9811]


def test_what_decides_over_others_stays_and_what_does_not_exist_is_not_moved():
    own = f"{ARMS}.slurm.window"
    other = f"{ARMS}.flux.depth"
    space = Space(
        {
            SCHEDULER: Categorical(("slurm", "flux")),
            own: Integer(1, 11),
            other: Integer(1, 11),
        },
        {},
        ("slurm", "flux"),
    )
    assert neighbours(space, {SCHEDULER: "slurm", own: 5}) == [
        {SCHEDULER: "slurm", own: 4},
        {SCHEDULER: "slurm", own: 6},
    ]
    conditional = Space(
        {"kind": Categorical(("x", "y")), "of_x": Integer(0, 2)},
        {},
        conditions={"of_x": (Condition("kind", ("x",), "x"),)},
    )
    assert neighbours(conditional, {"kind": "y"}) == []


@given(
    st.fixed_dictionaries(
        {
            "mode": st.sampled_from("abc"),
            "nodes": st.integers(1, 16).map(lambda n: 4 * n),
            "window": st.integers(1, 10_000),
            "share": st.floats(0, 1),
            "rate": st.floats(0.001, 1000),
        }
    )
)
def test_every_neighbour_is_a_point_of_the_space_that_differs_in_one_setting(point):
    for one in neighbours(SPACE, point):
        assert sum(one[name] != point[name] for name in point) == 1
        assert all(holds(DIMENSIONS[name], value) for name, value in one.items())
