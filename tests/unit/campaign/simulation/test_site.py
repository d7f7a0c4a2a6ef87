"""Each lever of a cluster in a case worked out by hand, in seconds; and what holds of all of them.

Unless a test says otherwise: a run in order on the next whole second once a job has come or gone,
over the whole queue every 600 s; backfilling every 30 s, to the second.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.cluster import model_of
from campaign.core.jobs import TRAITS_SCHEMA, Workload
from campaign.core.levers import Lever, obeyed_traits
from campaign.schema.model import ClusterSettings
from campaign.simulation.engine import NO_DELAYS, NS, Delays
from campaign.simulation.site_features import meets
from campaign.simulation.site_reasons import in_words
from campaign.simulation.site_simulate import SiteSchedule, simulate_site
from schedulers.policy import Backfill, Levers, Policy, SchedulingLoop
from schedulers.topologies import topology_of
from tests.unit.campaign.simulation.reference import table

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("levers")]
"""What runs first compiles, once on a machine."""
RHYTHM = SchedulingLoop(delay_s=0, interval_s=600, min_interval_s=0, depth=100)
BACKFILL = Backfill(interval_s=30, window_s=86_400, resolution_s=1, max_test=100, foresight_s=0.0)
IN_ORDER = Policy(loop=RHYTHM, placement="best_fit", levers=Levers(memory=True, requeue_s=121))
BACKFILLING = Policy(
    loop=RHYTHM, backfill=BACKFILL, placement="best_fit", levers=Levers(memory=True, requeue_s=121)
)
CPU_AND_GPU = {
    "cpu": {"nodes": 2, "slots": 2, "memory_mib": 100, "features": ["ib"]},
    "gpu": {"nodes": 1, "slots": 4, "memory_mib": 400, "gpus": 2},
}


def simulated(
    cluster: dict[str, Any],
    jobs: list[tuple[float, int, float, float]],
    traits: dict[int, dict[str, Any]] | None = None,
    policy: Policy = IN_ORDER,
    *,
    delays: Delays = NO_DELAYS,
    reasons: bool = False,
) -> SiteSchedule:
    """Simulate jobs (submission, width, run time, limit), numbered from 0, with their traits."""
    wishes = traits or {}
    names = sorted({name for one in wishes.values() for name in one})
    columns = {
        name: pa.array(
            [wishes.get(job, {}).get(name) for job in range(len(jobs))],
            TRAITS_SCHEMA.field(name).type,
        )
        for name in names
    }
    workload = Workload("w", table(jobs), traits=pa.table(columns), obeyed=obeyed_traits(Lever))
    cluster_settings = ClusterSettings.model_validate(cluster)
    nodes = sum(group.nodes for group in cluster_settings.groups.values())
    model = model_of(cluster_settings, nodes)
    topology = topology_of("c", nodes, cluster_settings, 100, model)
    return simulate_site(workload, topology, policy, delays, reasons=reasons)


def starts(*arguments: Any, **options: Any) -> list[float]:
    """Return when jobs start; -1 for one that never does."""
    return np.where(
        (found := simulated(*arguments, **options)).ran, found.schedule.decided / NS, -1
    ).tolist()


def pair(slots: int = 2, **more: Any) -> dict[str, Any]:
    """Two nodes of group a and one of group b, with so many slots each."""
    return {"groups": {"a": {"nodes": 2, "slots": slots}, "b": {"nodes": 1, "slots": slots}}} | more


def test_a_job_waits_for_memory() -> None:
    """The second job has slots, but the first has 80 of 100 MiB of each of the two nodes."""
    cluster = {"groups": {"cpu": {"nodes": 2, "slots": 2, "memory_mib": 100}}}
    jobs = [(0, 2, 10, 60), (1, 1, 10, 60)]
    each = {"memory_per_node_mib": 80.0, "nodes": 2}
    assert starts(cluster, jobs, {0: each, 1: {"memory_per_node_mib": 30.0}}) == [0, 10]
    assert starts(cluster, jobs, {0: each, 1: {"memory_per_node_mib": 20.0}}) == [0, 1]


def test_jobs_get_gpus_and_features() -> None:
    """Two GPUs of the one node that has them, then the next job, and behind it one that wants ib:
    n1 or n2."""
    jobs = [(0, 1, 10, 60), (1, 1, 10, 60), (2, 2, 10, 60)]
    wishes = {0: {"gpus": 2}, 1: {"gpus": 1}, 2: {"features": "ib"}}
    found = simulated({"groups": CPU_AND_GPU}, jobs, wishes, BACKFILLING)
    assert (found.schedule.decided / NS).tolist() == [0, 10, 10]
    assert found.schedule.nodes.tolist() == [2, 2, 0]


def test_the_first_job_of_a_partition_that_waits_keeps_its_nodes() -> None:
    """Job 1 wants all of p; so 2, of p, waits, though it fits, and 3, of q, has a node that p
    lacks."""
    cluster = pair(partitions={"p": {"groups": ["a"], "default": True}, "q": {}})
    jobs = [(0, 2, 20, 60), (1, 4, 10, 60), (2, 1, 5, 60), (3, 2, 5, 60)]
    wishes = {3: {"partition": "q"}}
    assert starts(cluster, jobs, wishes) == [0, 20, 30, 3]


def test_a_higher_tier_comes_first_and_limits_hold_for_good() -> None:
    cluster = pair(partitions={"p": {"max_time_s": 60}, "q": {"priority_tier": 9}})
    jobs = [(0, 6, 20, 60), (1, 6, 10, 60), (2, 6, 10, 60), (3, 1, 1, 120)]
    found = simulated(cluster, jobs, {2: {"partition": "q"}}, reasons=True)
    assert (found.schedule.decided[:3] / NS).tolist() == [0, 30, 20]
    assert not found.ran[3]
    why = [in_words(int(reason)) for _, job, reason in found.reasons if job == 3]
    assert why == ["limit: longer than its partition allows"]


def test_jobs_with_nodes_for_themselves() -> None:
    """Two nodes stand beside the one with a job; then none."""
    jobs = [(0, 1, 20, 60), (1, 2, 10, 60), (2, 1, 10, 60)]
    alone = {1: {"exclusive": True, "nodes": 2}, 2: {"exclusive": True}}
    assert starts(pair(), jobs, alone) == [0, 1, 11]
    cluster = pair(partitions={"p": {"exclusive": True}})
    assert starts(cluster, [(0, 1, 20, 60)] * 4) == [0, 0, 0, 20]


def test_dependencies() -> None:
    """Job 1 after 0's end, 2 after its start, 3 after its success, 4 after its failure: never."""
    jobs = [(5, 6, 20, 60), (6, 1, 1, 60), (6, 1, 1, 60), (6, 1, 1, 60), (6, 1, 1, 60)]
    kinds = {1: "afterany", 2: "after", 3: "afterok", 4: "afternotok"}
    wishes = {job: {"after": [0], "after_kind": kind} for job, kind in kinds.items()}
    assert starts(pair(), jobs, wishes) == [5, 25, 25, 25, -1]


def test_a_reservation_keeps_nodes_for_its_users() -> None:
    """Nodes n1 and n2 are kept from 100 to 160 for job 2; job 0 would end after 100, so it has n3;
    job 1 would be over before."""
    cluster = pair(
        users={"ada": {}},
        reservations={"r": {"group": "a", "start_s": 100, "duration_s": 60, "users": ["ada"]}},
    )
    jobs = [(0, 2, 50, 120), (1, 4, 50, 60), (2, 4, 20, 50), (3, 4, 10, 120)]
    found = simulated(cluster, jobs, {2: {"reservation": "r"}}, BACKFILLING)
    # At 2, in-order runs keep the nodes of r for its own job; backfilling at 30 does not.
    assert (found.schedule.decided / NS).tolist()[:3] == [0, 1, 120]
    assert found.schedule.nodes[0] == 2
    assert found.schedule.decided[3] / NS >= 160


def test_nodes_fail_are_drained_and_come_back() -> None:
    """n1 is lost at 10, and its job starts anew on n2 121 s later. n3 is drained: its job ends."""
    cluster = pair(
        events=[
            {"at_s": 10, "node": "n1", "becomes": "down"},
            {"at_s": 10, "node": "n3", "becomes": "drain"},
            {"at_s": 200, "node": "n1", "becomes": "up"},
        ]
    )
    jobs = [(0, 2, 50, 60), (0, 2, 20, 60), (0, 2, 20, 60), (205, 4, 5, 60)]
    found = simulated(cluster, jobs, policy=BACKFILLING)
    assert found.restarts.tolist() == [1, 0, 0, 0]
    assert found.schedule.decided[0] >= 131 * NS
    assert found.schedule.nodes[0] == 1
    assert (found.schedule.decided[1:3] / NS).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("mode", "restarts", "ended_well"), [("requeue", 1, True), ("cancel", 0, False)]
)
def test_jobs_give_way(mode: str, restarts: int, ended_well: bool) -> None:
    """The urgent job takes all nodes at 10; the other starts anew when its credential has expired,
    or not at all."""
    cluster = pair(
        partitions={
            "low": {"default": True, "preempt": mode, "priority_tier": 1},
            "high": {"priority_tier": 9},
        }
    )
    jobs = [(0, 6, 400, 420), (10, 6, 20, 60)]
    found = simulated(cluster, jobs, {1: {"partition": "high"}}, BACKFILLING)
    assert found.schedule.decided[1] / NS == 10
    assert found.restarts.tolist() == [restarts, 0]
    assert found.ended_well.tolist() == [ended_well, True]
    assert found.gave_way.tolist() == [mode == "cancel", False]
    if mode == "requeue":
        assert found.schedule.decided[0] >= (10 + 121) * NS


def test_limits_of_people_hold_jobs_back_and_no_others() -> None:
    cluster = pair(
        accounts={"c": {}},
        users={"ada": {"accounts": ["c"], "in_all": {"max_jobs": 1}}, "bob": {"accounts": ["c"]}},
    )
    jobs = [(0, 1, 20, 60), (1, 1, 20, 60), (2, 1, 20, 60)]
    names = {0: "ada", 1: "ada", 2: "bob"}
    wishes = {job: {"user_name": name} for job, name in names.items()}
    assert starts(cluster, jobs, wishes) == [0, 20, 2]


def test_tasks_of_an_array_run_so_many_at_once() -> None:
    jobs = [(0, 1, 20, 60)] * 4
    wishes = {job: {"array": 7, "array_limit": 2} for job in range(3)}
    assert starts(pair(), jobs, wishes) == [0, 0, 20, 0]


def test_nothing_to_do_is_done_at_once() -> None:
    """Which is how the loops are compiled."""
    assert starts(pair(), []) == []


@pytest.mark.parametrize(
    ("constraint", "met"),
    [("ib", True), ("ib&big", False), ("big|ib", True), ("(big|ib)&old", False), ("[ib|x]", True)],
)
def test_constraints(constraint: str, met: bool) -> None:
    assert meets(constraint, ["ib", "new"]) is met


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_node_gives_more_than_it_has(data: st.DataObject) -> None:
    """And no job starts before those that it waits for have ended; users think for their time."""
    jobs = []
    wishes: dict[int, dict[str, Any]] = {}
    now = 0
    for job in range(data.draw(st.integers(1, 10))):
        now += data.draw(st.sampled_from([0, 1, 7]))
        run = data.draw(st.integers(1, 90))
        jobs.append((now, data.draw(st.integers(1, 4)), run, run + data.draw(st.integers(0, 60))))
        wishes[job] = {
            "memory_per_slot_mib": float(data.draw(st.sampled_from([1, 30, 50]))),
            "gpus": data.draw(st.sampled_from([None, None, 1, 2])),
            "after": data.draw(st.sampled_from([None, [max(0, job - 2)]])) if job else None,
            "think_s": data.draw(st.sampled_from([None, None, 0.0, 12.0])),
        }
    found = simulated({"groups": CPU_AND_GPU}, jobs, wishes, BACKFILLING)
    schedule = found.schedule
    assert found.ran.all()
    nodes = np.split(schedule.nodes, np.cumsum(schedule.count)[:-1])
    for now in schedule.decided:
        there = (schedule.decided <= now) & (now < schedule.freed)
        gpus = sum((wishes[job]["gpus"] or 0) for job in np.flatnonzero(there))
        assert gpus <= 2
        assert sum(jobs[job][1] for job in np.flatnonzero(there)) <= 8
        for node, memory in enumerate((100, 100, 400)):
            on_it = [job for job in np.flatnonzero(there) if nodes[job].tolist() == [node]]
            assert sum(jobs[job][1] * wishes[job]["memory_per_slot_mib"] for job in on_it) <= memory
    for job, wish in wishes.items():
        for other in wish["after"] or ():
            assert schedule.decided[job] >= schedule.end[other]
            if wish["think_s"] is not None:
                assert schedule.accepted[job] == schedule.end[other] + wish["think_s"] * NS


@pytest.mark.parametrize("stops", [False, True])
def test_backfill_keeps_limits_on_nodes(stops: bool) -> None:
    cluster = pair(accounts={"c": {"in_all": {"max_nodes": 1}}}, users={"ada": {"accounts": ["c"]}})
    alone = replace(RHYTHM, depth=0)
    policy = replace(BACKFILLING, loop=alone, levers=Levers(limits_stop=stops))
    whose = {job: {"user_name": "ada"} for job in range(2)}
    first, second = starts(cluster, [(0, 2, 100, 100)] * 2, whose, policy)
    assert second >= first + 100


THINKS = [(0.0, 2, 20.0, 60.0), (1.0, 2, 30.0, 60.0), (2.0, 2, 10.0, 60.0), (3.0, 2, 10.0, 60.0)]
"""Each takes the node of two slots."""


@pytest.mark.parametrize(
    ("wishes", "submitted", "started"),
    [
        # Each comes 5 s after the one before has ended, whatever the log says; 1 finds 3 running.
        (
            {1: {"after": [0], "think_s": 5.0}, 2: {"after": [1], "think_s": 5.0}},
            [0, 25, 65, 3],
            [0, 30, 65, 20],
        ),
        # Job 2 comes once both have ended, the later at 50, and finds job 3 running.
        ({2: {"after": [0, 1], "think_s": 7.0}}, [0, 1, 57, 3], [0, 20, 60, 50]),
        # Without think time it is a dependency: it waits in the queue.
        ({2: {"after": [0, 1]}}, [0, 1, 2, 3], [0, 20, 50, 60]),
        # Nobody is known whom it follows.
        ({1: {"think_s": 5.0}}, [0, 1, 2, 3], [0, 20, 50, 60]),
    ],
)
def test_users_think_after_their_jobs(
    wishes: dict[int, dict[str, Any]], submitted: list[float], started: list[float]
) -> None:
    cluster = {"groups": {"a": {"nodes": 1, "slots": 2}}}
    found = simulated(cluster, THINKS, wishes)
    assert (found.schedule.decided / NS).tolist() == started
    assert (found.schedule.accepted / NS).tolist() == submitted
    late = simulated(cluster, THINKS[:2], {1: wishes.get(1, {})}, delays=Delays(submit_s=0.5))
    if wishes.get(1, {}).keys() >= {"after", "think_s"}:
        # The first one runs from 1 until 21. Submitting comes after the time to think.
        assert (late.schedule.begun / NS).tolist() == [0, 26]
        assert (late.schedule.accepted / NS).tolist() == [0.5, 26.5]
