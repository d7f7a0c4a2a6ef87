"""How busy a host is, by samples: what others take, how much slower work gets, and in words."""

import pytest

from campaign.core.host_load import (
    MOST_SLOWING,
    HostLoad,
    LoadRange,
    LoadSample,
    load_while,
    loads_by_phase,
    slowing,
    taken,
)
from campaign.core.phases import Phase

REPLAY = frozenset({Phase.FIRST_JOB, Phase.WORKLOAD})


def sample(ago_s=0.0, *, cpu=0.9, foreign=0.0, own=2.0, waited=5.0, ran=5.0, cpus=2):
    return LoadSample(
        ago_s,
        5.0,
        cpus,
        cpu=cpu,
        memory=0.0,
        io=0.0,
        foreign_cpus=foreign,
        own_cpus=own,
        waited_s=waited,
        ran_s=ran,
    )


EMULATED = sample(cpu=1.0, foreign=0.05, own=1.95, waited=14.0, ran=9.0)
"""Three emulated nodes that want all they can get of two CPUs, and nobody else."""
CROWDED = sample(cpu=0.97, foreign=1.6, own=0.4, waited=8.0, ran=2.0)
"""Nodes that want little, on two CPUs for which six other programs compete."""
LARGE = sample(cpu=0.3, foreign=40.0, own=2.0, waited=0.1, ran=10.0, cpus=64)
"""A large host of which others use most, and which has CPUs to spare."""


@pytest.mark.parametrize(
    ("one", "share"), [(EMULATED, 0.015), (CROWDED, 0.64), (LARGE, 0.0094)], ids=str
)
def test_only_time_that_nodes_wait_for_others_is_taken(one, share):
    assert taken([one]) == pytest.approx(share, abs=0.001)
    assert taken([one, one]) == taken([one])
    assert HostLoad.of("h", Phase.WORKLOAD, [one]).busy == (share > 0.25)


def test_a_sample_in_which_nodes_wanted_little_weighs_little():
    idle = sample(foreign=1.9, own=0.1, waited=0.09, ran=0.01)
    assert taken([EMULATED, idle]) == pytest.approx(taken([EMULATED]), abs=0.01)


def test_where_no_waiting_is_counted_the_pressure_stands_for_it():
    assert taken([sample(cpu=0.8, foreign=1.5, own=0.5, waited=None, ran=0)]) == 0.8 * 0.75
    assert taken([sample(cpu=0.8, foreign=1.5, own=0.5, waited=0.0, ran=0.0)]) == 0.8 * 0.75


@pytest.mark.parametrize(
    "samples",
    [[], [sample(foreign=None)], [sample(cpu=None, waited=None, ran=0)]],
    ids=["no samples", "load of others unknown", "old kernel"],
)
def test_unknown_stays_unknown_and_slows_nothing(samples):
    assert taken(samples) is None
    assert slowing(samples) == 1.0
    assert HostLoad.of("h", Phase.WORKLOAD, samples).taken is None


def test_work_is_slowed_by_what_is_taken_up_to_a_bound():
    assert slowing([EMULATED]) == pytest.approx(1.015, abs=0.001)
    assert slowing([CROWDED]) == pytest.approx(1 / 0.36)
    assert slowing([sample(foreign=9.0, own=0.0, waited=9.0, ran=0.0)]) == MOST_SLOWING


def test_a_host_is_busy_when_others_use_half_of_it_before_any_node_runs():
    def alone(foreign):
        return HostLoad.of(
            "h", Phase.PLACED, [sample(cpu=0.1, foreign=foreign, own=0, waited=None, ran=0)]
        )

    assert alone(1.0).busy
    assert not alone(0.3).busy
    assert not HostLoad(host="h", phase=Phase.PLACED).busy


def test_pressure_of_memory_and_disk_strains_a_host_that_nobody_else_uses():
    quiet = HostLoad.of("h", Phase.WORKLOAD, [EMULATED])
    assert not quiet.strained
    for name in ("memory", "io"):
        swapping = quiet.model_copy(update={name: LoadRange(0.4, 0.6, 0.9)})
        assert swapping.strained
        assert not swapping.busy


def test_words_name_range_others_and_what_they_took():
    some = [sample(cpu=cpu, foreign=1.6, own=0.4, waited=8, ran=2) for cpu in (0.84, 0.9, 0.97)]
    assert HostLoad.of("h", Phase.WORKLOAD, some).sentence == (
        "CPU pressure 84 to 97 %, other programs used 1.6 of 2 CPUs, "
        "which took 64 % of what nodes wanted"
    )
    assert HostLoad(host="h", phase=Phase.WORKLOAD).sentence == "pressure and load are unknown"


def test_samples_go_to_the_phases_in_which_they_were_taken():
    # By the clock of the trial, which is at 100 s now: READY to 70, FIRST_JOB to 71, WORKLOAD to 90
    spans = [(Phase.READY, 50, 70), (Phase.FIRST_JOB, 70, 71), (Phase.WORKLOAD, 71, 90)]
    some = {"h": [sample(ago_s, cpu=ago_s / 100) for ago_s in range(50, 0, -5)]}
    found = {load.phase: load.cpu for load in loads_by_phase(spans, some, now=100)}
    assert found == {
        Phase.READY: LoadRange(0.3, 0.375, 0.45),
        Phase.FIRST_JOB: LoadRange(0.25, 0.25, 0.25),  # shorter than a sample: the one around it
        Phase.WORKLOAD: LoadRange(0.1, 0.175, 0.25),
    }
    replay = load_while(spans, REPLAY, some, now=100)["h"]
    assert [one.ago_s for one in replay] == [25, 20, 15, 10]
    assert loads_by_phase(spans, {"h": []}, now=100) == ()


def test_a_record_keeps_a_load_as_it_is():
    load = HostLoad.of("h", Phase.WORKLOAD, [CROWDED])
    assert HostLoad.model_validate_json(load.model_dump_json()) == load


def test_a_sample_over_the_turn_of_two_phases_counts_once():
    spans = [(Phase.READY, 50, 70), (Phase.WORKLOAD, 70, 90)]
    some = {"h": [sample(28, cpu=0.1), sample(20, cpu=0.9)]}  # 67 to 72 s, and 75 to 80 s
    found = {load.phase: load.seconds for load in loads_by_phase(spans, some, now=100)}
    assert found == {Phase.READY: 5, Phase.WORKLOAD: 5}
