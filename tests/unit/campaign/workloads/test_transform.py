"""Transformations: what each does, that it is told, and that what comes out is a workload again."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.errors import WorkloadError
from campaign.core.jobs import Workload
from campaign.schema.workload import WorkloadSettings
from campaign.workloads.columns import LONGEST_S, SHORTEST_S, table_of
from campaign.workloads.transform import offered_load, transform


def workload(
    machine: int | None = None, notes: dict[str, str] | None = None, **columns: list[float]
) -> Workload:
    """Four jobs, but for the columns given."""
    given = {
        "job_id": [11, 12, 13, 14],
        "arrival_s": [0.0, 10.0, 20.0, 40.0],
        "width": [1, 2, 4, 8],
        "runtime_s": [100.0, 50.0, 25.0, 10.0],
        "requested_s": [100.0, 60.0, 60.0, 10.0],
        "user": [1, 2, 1, 3],
    } | columns
    table = table_of({name: np.array(column) for name, column in given.items()}, where="test")
    return Workload("test", table, dict(notes or {}), machine)


def done(of: Workload | None = None, slots: int = 8, **given: Any) -> Workload:
    return transform(of or workload(), WorkloadSettings(**{"jobs": 1000} | given), slots=slots)


def column(of: Workload, name: str) -> list[float]:
    return of.table.column(name).to_pylist()


def test_nothing_asked_for_changes_and_notes_nothing() -> None:
    same = workload(notes={"from": "somewhere"}, machine=64)
    assert done(same) == same
    assert done(same).hash == same.hash


@pytest.mark.parametrize(
    ("asked", "left", "note"),
    [
        ({"min_width": 2}, [12, 13, 14], "narrow jobs left out: 1 of 4 jobs (25 %), below 2 slots"),
        (
            {"min_runtime_s": 25},
            [11, 12, 13],
            "short jobs left out: 1 of 4 jobs (25 %), below 25 s",
        ),
        (
            {"max_runtime_s": 50},
            [12, 13, 14],
            "long jobs left out: 1 of 4 jobs (25 %), beyond 50 s",
        ),
        (
            {"users": [1, 7]},
            [11, 13],
            "other users' jobs left out: 2 of 4 jobs (50 %), of others than 1, 7",
        ),
        (
            {"window_s": [10, 40]},
            [12, 13],
            "jobs outside the window left out: 2 of 4 jobs (50 %), outside 10 s to 40 s",
        ),
        ({"jobs": 3}, [11, 12, 13], "later jobs left out: 1 of 4 jobs (25 %), after the first 3"),
        (
            {"wide": "drop", "max_width": 2},
            [11, 12],
            "jobs wider than allowed left out: 2 of 4 jobs (50 %), wider than 2 slots",
        ),
    ],
)
def test_jobs_are_chosen_and_begin_at_0_again(
    asked: dict[str, Any], left: list[int], note: str
) -> None:
    chosen = done(**asked)
    assert column(chosen, "job_id") == left
    assert column(chosen, "arrival_s")[0] == 0
    name, words = note.split(": ")
    assert chosen.notes == {name: f"{words} [jobs {chosen.hash[:12]}]"}


def test_a_long_list_of_users_is_told_in_short() -> None:
    note = done(users=list(range(2, 100))).notes["other users' jobs left out"]
    assert note.startswith(
        "2 of 4 jobs (50 %), of others than 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 88 more [jobs "
    )


@pytest.mark.parametrize(
    ("asked", "setting"),
    [
        ({"min_width": 9}, "min_width"),
        ({"min_runtime_s": 101}, "min_runtime_s"),
        ({"max_runtime_s": 1}, "max_runtime_s"),
        ({"users": []}, "users"),
        ({"users": [10**30]}, "users"),
        ({"window_s": [41, 50]}, "window_s"),
        ({"min_width": 8, "window_s": [0, 40]}, "window_s"),
        ({"wide": "drop", "min_width": 2, "max_width": 1}, "wide"),
    ],
)
def test_the_step_that_leaves_no_job_is_named(asked: dict[str, Any], setting: str) -> None:
    with pytest.raises(WorkloadError, match=rf"workload\.{setting}: no job is left"):
        done(**asked)


def test_the_window_counts_from_the_traces_first_job_and_the_first_jobs_from_the_chosen_ones() -> (
    None
):
    assert column(done(users=[1, 3], window_s=[15, 100], jobs=1), "job_id") == [13]


def test_the_jobs_of_a_fixed_mix_are_not_shortened() -> None:
    assert len(done(kind="esp", jobs=1)) == 4


def test_wide_jobs_are_cut_and_the_lost_work_is_told() -> None:
    cut = done(slots=4)
    assert column(cut, "width") == [1, 2, 4, 4]
    assert cut.notes["jobs cut to the widest allowed"].startswith(
        "1 of 4 jobs (25 %), 4 slots; 0.8947 of the work is left"
    )
    assert column(done(slots=4, max_width=2), "width") == [1, 2, 2, 2]


def test_widths_are_scaled_from_the_machine_that_the_settings_the_trace_or_its_jobs_name() -> None:
    assert column(done(wide="scale", slots=4), "width") == [1, 1, 2, 4]
    assert column(done(workload(machine=16), wide="scale", slots=8), "width") == [1, 1, 2, 4]
    assert column(done(workload(machine=16), wide="scale", machine=32, slots=8), "width") == [
        1,
        1,
        1,
        2,
    ]
    scaled = done(workload(machine=8), wide="scale", slots=16)
    assert column(scaled, "width") == [2, 4, 8, 16]
    assert (
        "from a machine of 8 slots to 16; whole widths of at least 1 make 1 of"
        in scaled.notes["widths scaled"]
    )
    assert column(done(wide="scale", slots=16, max_width=4), "width") == [2, 4, 4, 4]
    assert done(workload(machine=8), wide="scale").notes == {}
    halves = done(workload(machine=8, width=[3, 5, 1, 8]), wide="scale", slots=4)
    assert column(halves, "width") == [2, 3, 1, 4]


def test_times_are_scaled_alike_and_what_is_not_scaled_is_told() -> None:
    scaled = done(time_scale=0.01)
    for name in ("arrival_s", "runtime_s", "requested_s"):
        assert column(scaled, name) == pytest.approx(
            [each * 0.01 for each in column(workload(), name)]
        )
    assert scaled.notes["times scaled"].startswith(
        "by 0.01; tau of the bounded slowdown is scaled along (0.1 s). "
    )
    assert "latencies aren't, so that they weigh 100 times as much" in scaled.notes["times scaled"]
    assert "minutes" in scaled.notes["times scaled"]
    assert "minutes" not in done(time_scale=10).notes["times scaled"]


def test_times_stay_within_what_can_be_measured() -> None:
    short = [SHORTEST_S * 2] * 4
    tiny = done(workload(runtime_s=short, requested_s=short), time_scale=1e-6)
    assert column(tiny, "runtime_s") == column(tiny, "requested_s") == [SHORTEST_S] * 4
    with pytest.raises(
        WorkloadError, match=r"workload\.time_scale: job 1 of 4: runtime_s is beyond"
    ):
        done(workload(runtime_s=[LONGEST_S] * 4, requested_s=[LONGEST_S] * 4), time_scale=2)
    with pytest.raises(WorkloadError, match=r"workload\.load: job 2 of 4: arrival_s is beyond"):
        done(workload(runtime_s=[LONGEST_S] * 4, requested_s=[LONGEST_S] * 4), load=0.001)


def test_arrivals_are_stretched_to_the_load_of_the_smallest_cluster() -> None:
    assert offered_load(workload().table, 8) == pytest.approx(380 / 320)
    stretched = done(load=0.5)
    assert offered_load(stretched.table, 8) == pytest.approx(0.5)
    assert column(stretched, "arrival_s") == pytest.approx([0, 23.75, 47.5, 95])
    assert column(stretched, "runtime_s") == column(workload(), "runtime_s")
    assert stretched.notes["offered load set"].startswith(
        "0.5 of 8 slots instead of 1.188, by stretching the arrivals"
    )


def test_load_of_jobs_that_arrive_at_once_is_nothing_and_cannot_be_set() -> None:
    at_once = workload(arrival_s=[0.0] * 4)
    assert offered_load(at_once.table, 8) is None
    with pytest.raises(WorkloadError, match=r"workload\.load: all jobs arrive at once"):
        done(at_once, load=0.5)


def test_notes_tell_the_jobs_after_each_step_in_the_order_of_the_steps() -> None:
    asked: dict[str, Any] = {"min_width": 2, "window_s": [0, 30], "jobs": 2, "max_width": 2}
    last = done(**asked, time_scale=0.1, load=0.9)
    assert list(last.notes) == [
        "narrow jobs left out",
        "jobs outside the window left out",
        "jobs cut to the widest allowed",
        "times scaled",
        "offered load set",
    ]
    hashes = [re.findall(r" \[jobs ([0-9a-f]{12})\]$", note)[0] for note in last.notes.values()]
    assert len(set(hashes)) == 5
    assert hashes[2] == done(**asked).hash[:12]
    assert hashes[-1] == last.hash[:12]


def test_a_known_start_moves_along_with_the_first_job() -> None:
    moved = done(
        workload(notes={"header UnixStartTime": "1000"}), window_s=[15, 50], time_scale=0.1
    )
    assert moved.notes["header UnixStartTime"] == "1020"


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 99),
    slots=st.integers(1, 64),
    asked=st.fixed_dictionaries(
        {},
        optional={
            "jobs": st.integers(1, 40),
            "min_width": st.integers(1, 20),
            "min_runtime_s": st.floats(0, 500),
            "max_runtime_s": st.floats(100, 1000),
            "users": st.lists(st.integers(0, 5), max_size=4),
            "window_s": st.tuples(st.floats(0, 400), st.floats(401, 1000)).map(list),
            "wide": st.sampled_from(["cut", "scale", "drop"]),
            "machine": st.integers(1, 128),
            "max_width": st.integers(1, 64),
            "time_scale": st.floats(1e-6, 1e3),
            "load": st.floats(0.001, 100),
        },
    ),
)
def test_any_settings_give_a_workload_or_an_explanation(
    seed: int, slots: int, asked: dict[str, Any]
) -> None:
    draw = np.random.default_rng(seed)
    runtime = draw.uniform(0.1, 1000, 30)
    of = workload(
        job_id=list(range(30)),
        arrival_s=[0.0, *np.sort(draw.uniform(0, 1000, 29))],
        width=list(draw.integers(1, 33, 30)),
        runtime_s=list(runtime),
        requested_s=list(runtime * draw.uniform(1, 3, 30)),
        user=list(draw.integers(0, 5, 30)),
    )
    try:
        after = done(of, slots=slots, **asked)
    except WorkloadError as error:
        assert str(error).startswith("workload.")
        return
    assert 1 <= len(after) <= min(30, asked.get("jobs", 30))
    assert max(column(after, "width")) <= min(slots, asked.get("max_width", slots))
    if "load" in asked:
        assert offered_load(after.table, slots) == pytest.approx(asked["load"], rel=1e-6)


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"arrival_s": [0.0, 20.0, 10.0, 30.0]}, "job 3 of 4: it arrives before"),
        ({"arrival_s": [1.0, 10.0, 20.0, 40.0]}, "job 1 of 4: the first job doesn't arrive at 0"),
        ({"arrival_s": [-1.0, 0.0, 20.0, 40.0]}, "the first job doesn't"),
        ({"arrival_s": [0.0, 0.0, 0.0, 1e10]}, "job 4 of 4: arrival_s is beyond"),
        ({"runtime_s": [1.0, 0.0, 1.0, 1.0]}, "job 2 of 4: runtime_s is below 1e-09 s"),
        ({"runtime_s": [1.0, np.nan, 1.0, 1.0]}, "job 2 of 4: runtime_s is no finite number"),
        ({"requested_s": [1.0, 1.0, 1.0, 1.0]}, "job 1 of 4: requested_s is below"),
        ({"width": [1, 2, 0, 1]}, "job 3 of 4: width is no whole number from 1"),
        ({"width": [1, 2, 1.5, 1]}, "job 3 of 4: width is no whole number"),
        ({"width": [1, 2**31, 2, 1]}, "job 2 of 4: width is no whole number"),
        ({"user": [1, 2, 3, -1]}, "job 4 of 4: user is no whole number"),
        ({"job_id": [1, 2, 1, 4]}, "job 3 of 4: job_id is another job's"),
        ({"job_id": [-1, 2, 1, 4]}, "job 1 of 4: job_id is no whole number"),
    ],
)
def test_what_is_no_workload_is_told_with_the_first_job_that_breaks_the_rule(
    columns: dict[str, list[float]], rule: str
) -> None:
    with pytest.raises(WorkloadError, match=f"^test: .*{rule}"):
        workload(**columns)
