"""When the simulated controller does what: cases worked out by hand, in seconds of its clock."""

from dataclasses import replace

import numpy as np
import pytest

from campaign.core.cluster import Account, ClusterModel, User
from campaign.core.jobs import Workload
from campaign.simulation import beats
from campaign.simulation.backfill import BackfillTimes
from campaign.simulation.engine import NS, Delays
from campaign.simulation.site_simulate import simulate_site
from campaign.workloads.traits import traits_of
from schedulers.base import Topology
from schedulers.policy import Levers, Multifactor, Policy, SchedulingLoop
from tests.unit.campaign.simulation.reference import table

# Where nothing is compiled yet, that takes minutes on a busy machine: one process does it.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("levers")]
KERNEL = 0.004
TIMES = BackfillTimes(1, 30 * NS, 86_400 * NS, NS, 100, 0, 1, 0, int(KERNEL * NS), 0, 0, 0)
MODEL = ClusterModel(accounts=(Account("lab"),), users=(User("ada", 1, ("lab",)),), own_users=True)


@pytest.mark.parametrize(
    ("ended_s", "last_s"),
    [
        # It looks at 38.854, in the second of the end, so that this is news again at 68.858.
        (38.1, 68.858),
        # It looks in the second after that of the end, and not again.
        (37.9, 38.854),
    ],
)
def test_backfilling_runs_once_more_over_an_empty_queue_for_news_of_its_second(
    ended_s: float, last_s: float
) -> None:
    """The last run was at 8.850 and took a tick. A job ended; at 70, one comes."""
    state = np.zeros(beats.OWN, np.int64)
    state[beats.LAST_BACKFILL] = int(8.85 * NS)
    state[beats.TOOK] = int(KERNEL * NS)
    state[beats.TIME] = int(ended_s * NS)
    beats.change(state, int(ended_s * NS))
    beats.backfill_nothing(state, TIMES, NS, 70 * NS)
    assert state[beats.LAST_BACKFILL] / NS == pytest.approx(last_s)
    assert not state[beats.CHANGED]


@pytest.mark.parametrize(
    ("ran_s", "begun"), [(38.5, [0.35, 49.35, 39.35]), (39.5, [0.35, 40.35, 50.35])]
)
def test_priorities_are_worked_out_anew_at_the_moment_at_which_the_controller_began(
    ran_s: float, begun: list[float]
) -> None:
    """It began at 0.65, so that happens at 60.65. The wide job, which came at 22.65, comes before
    the one of 21.65 until then, by its size, and after it from then on, by age. The node gets free
    in time for the run at 60, or for that at 61."""
    jobs = table([(0, 2, ran_s, 60), (1, 1, 10, 10), (2, 2, 10, 10)])
    workload = Workload(
        "w", jobs, traits=traits_of({"user_name": ["ada"] * 3}), obeyed={"user_name"}
    )
    policy = Policy(
        loop=SchedulingLoop(delay_s=0, interval_s=600, min_interval_s=0, depth=100),
        multifactor=Multifactor(age=1000, max_age_s=120, size=10, period_s=60),
        levers=Levers(),
    )
    topology = Topology.of_equal_nodes("c", 1, slots=2, memory_mib=1)
    topology = replace(topology, model=MODEL)
    delays = Delays(clock_s=20.65, lead_s=20.0)
    found = simulate_site(workload, topology, policy, delays).schedule
    assert (found.decided / NS).tolist() == pytest.approx(begun)
