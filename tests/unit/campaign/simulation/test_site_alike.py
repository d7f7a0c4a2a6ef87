"""Nodes that are alike are planned in sets, and runs that would find the same are left out: neither
changes any start."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaign.core.cluster import model_of
from campaign.core.jobs import TRAITS_SCHEMA, Workload
from campaign.core.levers import Lever, obeyed_traits
from campaign.schema.model import ClusterSettings
from campaign.schema.workload import WorkloadSettings
from campaign.simulation import site_alike, site_simulate
from campaign.simulation.engine import Delays
from campaign.simulation.node_sets import (
    count_common,
    count_word,
    has,
    include,
    meet,
    runs_of_common,
    words_for,
)
from campaign.simulation.site_arrays import Records, Site
from campaign.workloads import load
from schedulers.base import Topology
from schedulers.policy import (
    Backfill,
    FairShare,
    Levers,
    Multifactor,
    Policy,
    Priority,
    SchedulingLoop,
)
from schedulers.topologies import topology_of
from tests.unit.campaign.simulation.reference import table

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("levers")]
"""What runs first compiles, once on a machine."""
Case = tuple[Workload, Topology, Policy, Delays]
SLOTS = [1, 1, 2, 4]
UNLIKE = (7, 15, 29)
"""Seeds of workloads that would be different if runs were left out carelessly, of 120 seeds."""


@settings(deadline=None, max_examples=200)
@given(st.lists(st.booleans(), min_size=1, max_size=200), st.randoms())
def test_sets_of_nodes(flags: list[bool], draw: Random) -> None:
    others = [draw.random() < 0.7 for _ in flags]
    sets = []
    for each in (flags, others):
        words = np.zeros(words_for(len(flags)), np.int64)
        for node in np.flatnonzero(each):
            include(words, node)
        assert [has(words, node) for node in range(len(flags))] == each
        assert sum(count_word(word) for word in words) == sum(each)
        sets.append(words)
    both = np.array(flags) & np.array(others)
    first = np.zeros(len(flags), np.int64)
    length = np.zeros(len(flags), np.int64)
    runs = runs_of_common(*sets, first, length)
    assert count_common(*sets) == both.sum() and meet(*sets) == both.any()
    changes = np.flatnonzero(np.diff(np.concatenate([[0], both, [0]])))
    assert first[:runs].tolist() == changes[::2].tolist()
    assert length[:runs].tolist() == (changes[1::2] - changes[::2]).tolist()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_jobs_start_when_and_where_they_would_node_by_node_and_beat_by_beat(draw: Random) -> None:
    case = _case(draw)
    with pytest.MonkeyPatch.context() as patch:
        found = site_simulate.simulate_site(*case)
        patch.setattr(site_alike, "alike_nodes", _unlike)
        patch.setattr(site_simulate, "_rules", _beat_by_beat(site_simulate._rules))
        wanted = site_simulate.simulate_site(*case)
    for name in ("decided", "end"):
        assert np.array_equal(getattr(found.schedule, name), getattr(wanted.schedule, name)), name
    assert np.array_equal(found.outcome, wanted.outcome)
    # Those of a job that never ran say nothing.
    ran = np.repeat(found.ran, found.schedule.count)
    assert np.array_equal(found.schedule.nodes[ran], wanted.schedule.nodes[ran])


def test_runs_left_out_of_a_long_queue_would_have_found_the_same() -> None:
    """As time passes, a run looks further ahead: more is planned in a job's way from now on."""
    users = {f"u{one:04d}": {"accounts": ["ab"[one % 2]]} for one in range(1, 41)}
    settings = ClusterSettings.model_validate(
        {"nodes": 256, "accounts": {"a": {"shares": 3}, "b": {}}, "users": users}
    )
    topology = topology_of("c", 256, settings, 1, model_of(settings, 256))
    workload = load(
        WorkloadSettings.model_validate({"kind": "lublin", "jobs": 1500, "load": 0.9}), slots=256
    )
    named = replace(workload, obeyed=obeyed_traits(Lever))
    order = Multifactor(age=4000, size=6000, period_s=300, fair_share=FairShare(weight=12_000))
    different = []
    for depth in (4, 14, 17, 30):
        policy = Policy(
            loop=SchedulingLoop(3, 60, 2e-6, 100),
            backfill=Backfill(30, 86_400, 60, depth),
            multifactor=order,
            priority=Priority(age=order.age, size=order.size),
            placement="best_fit",
            levers=Levers(),
        )
        found = site_simulate.simulate_site(named, topology, policy, Delays())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(site_simulate, "_rules", _beat_by_beat(site_simulate._rules))
            wanted = site_simulate.simulate_site(named, topology, policy, Delays())
        if not np.array_equal(found.schedule.decided, wanted.schedule.decided):
            different.append(depth)
    assert different == []


def test_runs_left_out_on_unlike_nodes_would_have_found_the_same() -> None:
    """Some jobs want one half of the nodes, so that all are looked at node by node."""
    groups = {name: {"nodes": 8, "slots": 1, "features": [name]} for name in "xy"}
    users = {f"u{one}": {"accounts": ["ab"[one % 2]]} for one in range(8)}
    settings = ClusterSettings.model_validate(
        {"groups": groups, "accounts": {"a": {"shares": 3}, "b": {}}, "users": users}
    )
    topology = topology_of("c", 16, settings, 1, model_of(settings, 16))
    different = []
    for seed in UNLIKE:
        policy = Policy(
            loop=SchedulingLoop(3, 60, 2e-6, 100),
            backfill=Backfill(30, 86_400, 300, 8, foresight_s=30),
            multifactor=Multifactor(size=6000, period_s=300, fair_share=FairShare(weight=1000)),
            priority=Priority(size=6000),
            placement="best_fit",
            levers=Levers(),
        )
        workload = load(
            WorkloadSettings.model_validate(
                {"kind": "lublin", "jobs": 400, "seed": seed, "load": 0.9, "max_width": 16}
            ),
            slots=16,
        )
        draw = Random(seed)
        halves = [draw.choice("xy") if width <= 8 else None for width in _widths(workload)]
        traits = {
            "user_name": [draw.choice(list(users)) for _ in range(len(workload))],
            "features": [half if draw.random() < 0.1 else None for half in halves],
        }
        columns = {
            name: pa.array(values, TRAITS_SCHEMA.field(name).type)
            for name, values in traits.items()
        }
        named = replace(workload, traits=pa.table(columns), obeyed=obeyed_traits(Lever))
        found = site_simulate.simulate_site(named, topology, policy, Delays())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(site_simulate, "_rules", _beat_by_beat(site_simulate._rules))
            wanted = site_simulate.simulate_site(named, topology, policy, Delays())
        if not np.array_equal(found.schedule.decided, wanted.schedule.decided):
            different.append(seed)
    assert different == []


def _widths(workload: Workload) -> list[int]:
    found: list[int] = workload.table.column("width").to_pylist()
    return found


def test_a_beat_before_its_tick_is_not_missed() -> None:
    """Its last jobs can never start, so the simulation ends once a full run has seen that."""
    case = _case(Random(12))
    found = site_simulate.simulate_site(*case)
    assert found.ran.any() and not found.ran.all()


@pytest.mark.parametrize("wish", [{"gpus": 1}, {"memory_per_slot_mib": 5.0}, {"exclusive": True}])
def test_what_is_compiled_depends_on_what_jobs_ask_for(wish: dict[str, Any]) -> None:
    settings = ClusterSettings.model_validate({"groups": {"one": {"nodes": 2, "gpus": 2}}})
    topology = topology_of("c", 2, settings, 100, model_of(settings, 2))
    for traits, plain in (({}, True), (wish, False)):
        columns = {
            name: pa.array([value], TRAITS_SCHEMA.field(name).type)
            for name, value in traits.items()
        }
        jobs = table([(0, 1, 5, 5)])
        workload = Workload("w", jobs, traits=pa.table(columns), obeyed=obeyed_traits(Lever))
        policy = Policy(levers=Levers(memory=bool(traits)))
        found = site_simulate.site_jobs(workload, topology, policy, Delays())
        assert found.plain is found.none.plain is plain
        assert found.table.size == 1 and not found.none.table.size


def _unlike(site: Site) -> None:
    return None


def _beat_by_beat(rules: Callable[..., Records]) -> Callable[..., Records]:
    def changed(*arguments: Any) -> Records:
        found = rules(*arguments)
        found.settles[:] = 0
        return found

    return changed


def _case(draw: Random) -> Case:
    nodes = draw.randint(1, 9) if draw.random() < 0.9 else draw.randint(60, 130)
    slots = draw.choice(SLOTS)
    jobs = []
    now = 0
    scale = draw.choice([1, 20, 200])
    for _ in range(draw.randint(1, 30)):
        now += draw.choice([0, 0, 1, draw.randint(0, 3) * scale])
        run = draw.randint(1, 10) * scale
        widest = nodes * slots if draw.random() < 0.4 else max(1, nodes * slots // 3)
        jobs.append((now, draw.randint(1, widest), run, run * draw.choice([1, 1, 2, 3])))
    cluster = _cluster(draw, nodes, slots)
    traits = {"user_name": [draw.choice(list(cluster["users"])) for _ in jobs]}
    if draw.random() < 0.3:
        traits["after"] = [[draw.randrange(job)] if job else None for job in range(len(jobs))]
    columns = {
        name: pa.array(values, TRAITS_SCHEMA.field(name).type) for name, values in traits.items()
    }
    settings = ClusterSettings.model_validate(cluster)
    workload = Workload("w", table(jobs), traits=pa.table(columns), obeyed=obeyed_traits(Lever))
    topology = topology_of("c", nodes, settings, 1, model_of(settings, nodes))
    some = [0.0, 0.3, 2.0]
    delays = Delays(
        launch_s=draw.choice(some),
        overrun_s=draw.choice(some),
        release_s=draw.choice(some),
        cycle_offset_s=draw.choice(some),
        lead_s=draw.choice(some),
    )
    return workload, topology, _policy(draw), delays


def _cluster(draw: Random, nodes: int, slots: int) -> dict[str, Any]:
    users: dict[str, Any] = {f"u{one}": {"accounts": [draw.choice("ab")]} for one in range(3)}
    accounts: dict[str, Any] = {"a": {"shares": 3}, "b": {}}
    if draw.random() < 0.4:
        users["u0"]["in_all"] = {"max_slots": draw.randint(1, nodes * slots)}
    if draw.random() < 0.2:
        accounts["a"]["in_all"] = {"max_nodes": draw.randint(1, nodes)}
    return {"nodes": nodes, "slots_per_node": slots, "users": users, "accounts": accounts}


def _policy(draw: Random) -> Policy:
    order = Multifactor(
        age=draw.choice([0, 1000]),
        size=draw.choice([0, 1000]),
        max_age_s=draw.choice([10, 3600, 86_400]),
        favor_small=draw.choice([True, False]),
        period_s=60,
        fair_share=FairShare(
            weight=draw.choice([0, 1000, 100_000]),
            kind=draw.choice(["tree", "classic", "oblivious"]),
            half_life_s=draw.choice([0, 600, 604_800]),
        ),
    )
    return Policy(
        loop=SchedulingLoop(
            delay_s=draw.choice([0, 3]),
            interval_s=draw.choice([10, 40, 60]),
            min_interval_s=draw.choice([0, 2e-6, 2]),
            depth=draw.choice([1, 2, 100]),
        ),
        backfill=None if draw.random() < 0.15 else _backfill(draw),
        priority=Priority(age=order.age, size=order.size, max_age_s=order.max_age_s),
        multifactor=order,
        limit_unit_s=draw.choice([0, 60]),
        grace_s=draw.choice([0, 60]),
        placement=draw.choice(["first", "least_loaded", "pack", "best_fit", "best_fit"]),
        levers=Levers(
            limits_stop=draw.choice([False, True]),
            of_user=draw.choice([0, 0, 2]),
            plans_of_partition=draw.choice([0, 0, 1]),
            plan_records=draw.choice([0, 0, 5]),
            most_starts=draw.choice([0, 0, 1]),
            partition_depth=draw.choice([0, 0, 2]),
            window_step_s=draw.choice([0, 0, 20]),
            least_age_s=draw.choice([0, 0, 0, 30]),
        ),
    )


def _backfill(draw: Random) -> Backfill:
    return Backfill(
        interval_s=draw.choice([4, 30]),
        window_s=draw.choice([10, 600, 3600, 86_400]),
        resolution_s=draw.choice([1, 7, 60]),
        max_test=draw.choice([1, 3, 100]),
        max_start=draw.choice([0, 1, 2]),
        foresight_s=draw.choice([0, 30]),
    )
