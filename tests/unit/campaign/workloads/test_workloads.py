"""The demo workload's promises, and what every kind of workload gets from `load`."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.config.compose import compose
from campaign.core.errors import ConfigError, WorkloadError
from campaign.core.jobs import WORKLOAD_SCHEMA
from campaign.schema.workload import WorkloadSettings
from campaign.workloads import load, load_instances

DEMO_HASH = "40e065de8611c5582ec6cd1086dafc0754801eeba94c38346b781d5e964374a7"


@settings(deadline=None)
@given(
    jobs=st.integers(1, 200),
    seed=st.integers(0, 2**32),
    slots=st.integers(1, 64),
    duration=st.floats(5, 86_400),
)
def test_demo_jobs_fit_and_fill_the_smallest_cluster(
    jobs: int, seed: int, slots: int, duration: float
) -> None:
    workload = load(WorkloadSettings(jobs=jobs, seed=seed, duration_s=duration), slots=slots)
    drawn = list(workload.jobs())
    assert workload.table.schema == WORKLOAD_SCHEMA
    assert len(drawn) == len(workload) == jobs
    assert drawn[0].arrival_s == 0
    assert [job.arrival_s for job in drawn] == sorted(job.arrival_s for job in drawn)
    assert all(1 <= job.width <= slots for job in drawn)
    assert all(0 < job.runtime_s <= job.requested_s and job.requested_s % 60 == 0 for job in drawn)
    ideal = sum(job.width * job.runtime_s for job in drawn) / slots
    assert math.isclose(ideal, 0.9 * duration, rel_tol=0.01)


def test_demo_is_mixed_enough_to_queue_and_backfill() -> None:
    jobs = list(load(WorkloadSettings(), slots=8).jobs())
    assert {1, 8} < {job.width for job in jobs}
    assert len({job.requested_s for job in jobs}) >= 3
    burst = [job for job in jobs if job.arrival_s == 0]
    assert sum(job.width for job in burst) > 2 * 8


def test_demo_depends_on_the_seed_and_on_nothing_else() -> None:
    one, same, other = (load(WorkloadSettings(seed=seed), slots=4).hash for seed in (1, 1, 2))
    assert one == same != other


def test_demo_respects_max_width() -> None:
    assert max(job.width for job in load(WorkloadSettings(max_width=3), slots=16).jobs()) == 3


def test_demo_of_the_default_settings_is_what_campaigns_on_disk_were_run_with() -> None:
    assert load(WorkloadSettings(jobs=30, duration_s=15), slots=8).hash == DEMO_HASH


@pytest.mark.parametrize("kind", ["demo", "lublin", "downey", "poisson", "esp"])
def test_what_needs_no_file_is_sized_for_the_cluster_transformed_and_has_its_payload(
    kind: str,
) -> None:
    plain = load(WorkloadSettings(kind=kind), slots=8)
    assert len(plain) == (230 if kind == "esp" else 20)
    assert (plain.machine_slots, plain.payload) == (8, "sleep")
    scaled = load(WorkloadSettings(kind=kind, time_scale=0.5, max_width=2, payload="burn"), slots=8)
    assert max(job.width for job in scaled.jobs()) == 2
    assert scaled.payload == "burn"
    assert "times scaled" in scaled.notes


@pytest.mark.parametrize("kind", ["swf", "batsim"])
def test_trace_paths_that_are_folders_missing_impossible_or_not_given(
    tmp_path: Path, kind: str
) -> None:
    for path, error, says in (
        (str(tmp_path), WorkloadError, "is a folder, not a trace"),
        (str(tmp_path / "absent"), WorkloadError, "No such file"),
        ("~nobody-of-that-name/t", ConfigError, r"workload\.path"),
        ("a\0b", ConfigError, r"workload\.path"),
        (None, ConfigError, r"workload\.path"),
    ):
        with pytest.raises(error, match=says):
            load(WorkloadSettings(kind=kind, path=path), slots=4)


def phases(count, *overrides):
    campaign = compose(
        ["workload.instances=3", "workload.instances_by=phases", *overrides]
    ).campaign
    return list(load_instances(campaign.workload, count, slots=16))


def test_phases_are_the_same_jobs_at_evenly_spread_delays():
    found = phases(5, "workload.phase_s=80")
    first, *_ = found
    assert first == phases(1)[0]
    arrivals = [one.table.column("arrival_s").to_numpy() for one in found]
    delays = [each - arrivals[0] for each in arrivals]
    assert [set(each.round(9)) for each in delays] == [{0}, {40}, {20}, {60}, {10}]
    for one in found:
        assert one.table.drop(["arrival_s"]) == first.table.drop(["arrival_s"])
        assert one.table.schema == first.table.schema
    assert len({one.hash for one in found}) == 5


def test_more_phases_leave_those_before_as_they_are():
    assert phases(8)[:3] == phases(3)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["workload.instances=3", "workload.phase_s=30"], "instances differ by their jobs"),
        (["workload.instances_by=phases"], "there is one instance"),
    ],
)
def test_settings_of_phases_without_an_effect_are_refused(overrides, said):
    with pytest.raises(ConfigError, match=said):
        compose(overrides)


def test_phases_may_be_held_out_alone():
    held = compose(["workload.instances_by=phases", "search.holdout=5"])
    assert held.campaign.search.held_out == 5
    simulated = compose(["testbed=simulation", "workload.instances_by=phases"])
    assert simulated.campaign.search.held_out == 5
