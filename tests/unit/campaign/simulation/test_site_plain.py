"""Where no lever is in use, the engine for clusters with levers decides as the other one does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.jobs import Workload
from campaign.simulation.engine import Delays, Nodes, simulate
from campaign.simulation.site_simulate import simulate_site
from schedulers.base import Topology
from schedulers.policy import Backfill, Levers, Policy, Priority, SchedulingLoop
from tests.unit.campaign.simulation.reference import clusters, table, workloads

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("levers")]
"""What runs first compiles, once on a machine."""
checked = settings(deadline=None, max_examples=200)  # what runs first compiles
POLICIES = st.builds(
    Policy,
    loop=st.builds(
        SchedulingLoop,
        delay_s=st.integers(0, 5),
        interval_s=st.integers(1, 40),
        min_interval_s=st.sampled_from([0, 0.000002, 2]),
        depth=st.sampled_from([1, 2, 100]),
    ),
    backfill=st.none()
    | st.builds(
        Backfill,
        interval_s=st.sampled_from([1, 4, 30]),
        window_s=st.sampled_from([0, 10, 86_400]),
        resolution_s=st.sampled_from([1, 7, 60]),
        max_test=st.sampled_from([1, 3, 100]),
        max_start=st.sampled_from([0, 1, 2]),
        foresight_s=st.sampled_from([0, 30]),
    ),
    priority=st.just(Priority())
    | st.builds(
        Priority,
        age=st.integers(0, 1000),
        size=st.integers(0, 1000),
        max_age_s=st.sampled_from([10, 3600]),
        favor_small=st.booleans(),
        period_s=st.sampled_from([0, 60]),
    ),
    limit_unit_s=st.sampled_from([0, 60]),
    grace_s=st.sampled_from([0, 60]),
    placement=st.sampled_from(["first", "least_loaded", "pack", "best_fit"]),
    levers=st.just(Levers()),
)
SOME = st.sampled_from([0.0, 0.3, 2.0])
DELAYS = st.just(Delays()) | st.builds(
    Delays, launch_s=SOME, overrun_s=SOME, release_s=SOME, cycle_offset_s=SOME, lead_s=SOME
)


def check(jobs, nodes, policy, delays):
    topology = Topology.of_equal_nodes("c", nodes.count, slots=nodes.slots, memory_mib=1)
    found = simulate_site(Workload("w", jobs), topology, policy, delays).schedule
    wanted = simulate(jobs, nodes, policy, delays)
    assert found.decided.tolist() == wanted.decided.tolist()
    assert np.array_equal(found.nodes, wanted.nodes)
    assert found.end.tolist() == wanted.end.tolist()


@checked
@given(st.data(), clusters(slots=range(2, 5)), POLICIES, DELAYS)
def test_jobs_start_when_and_where_they_do_without_levers(data, nodes, policy, delays) -> None:
    check(table(data.draw(workloads(nodes))), nodes, policy, delays)


def test_nothing_is_over_while_a_run_waits_for_its_time() -> None:
    """A run over the whole queue is granted each second, and runs are two seconds apart."""
    loop = SchedulingLoop(delay_s=0, interval_s=1, min_interval_s=2, depth=1)
    jobs = table([(0, 1, 2, 2), (0, 1, 1, 1)])
    check(jobs, Nodes(1, 2), Policy(loop=loop, levers=Levers()), Delays(release_s=0.3))


def test_a_policy_without_a_clock_knows_no_levers() -> None:
    topology = Topology.of_equal_nodes("c", 1, slots=1, memory_mib=1)
    with pytest.raises(ValueError, match="without levers and a clock"):
        simulate_site(Workload("w", table([(0, 1, 1, 1)])), topology, Policy(), Delays())
