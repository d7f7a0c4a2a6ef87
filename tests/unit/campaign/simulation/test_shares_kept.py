"""Two accounts that flood a simulated cluster get what their shares promise, if shares count."""

from dataclasses import replace

import numpy as np
import pytest

from campaign.core.cluster import Account, ClusterModel, NodeGroup, User
from campaign.core.jobs import Workload
from campaign.simulation.engine import NO_DELAYS, NS
from campaign.simulation.site_simulate import simulate_site
from campaign.workloads.traits import traits_of
from schedulers.base import Topology
from schedulers.policy import (
    FairShare,
    Levers,
    Multifactor,
    Policy,
    SchedulingLoop,
    ShareKind,
)
from tests.unit.campaign.simulation.reference import table

# Where nothing is compiled yet, that takes minutes on a busy machine: one process does it.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("levers")]
MODEL = ClusterModel(
    groups=(NodeGroup("all", 4, 4),),
    accounts=(Account("small", shares=1), Account("large", shares=3)),
    users=(User("ada", 1, ("small",)), User("bob", 2, ("large",))),
    own_users=True,
)
JOBS = 400
RUN_S = 300


def part_of_large(fair_share: FairShare) -> float:
    """The part of all slot seconds that the larger account had while both had jobs waiting."""
    jobs = table([(0, 1, RUN_S + 7 * (number % 5), RUN_S + 40) for number in range(JOBS)])
    whose = np.array(["ada", "bob"] * (JOBS // 2))
    workload = Workload(
        "flood", jobs, traits=traits_of({"user_name": whose.tolist()}), obeyed={"user_name"}
    )
    policy = Policy(
        loop=SchedulingLoop(delay_s=3, interval_s=60, min_interval_s=0, depth=1000),
        multifactor=Multifactor(period_s=60, fair_share=fair_share),
        levers=Levers(),
    )
    topology = Topology.of_equal_nodes("c", 4, slots=4, memory_mib=1)
    topology = replace(topology, model=MODEL)
    found = simulate_site(workload, topology, policy, NO_DELAYS).schedule
    of_large = whose == "bob"
    both = min(found.decided[of_large].max(), found.decided[~of_large].max())
    had = np.clip(np.minimum(found.end, both) - found.decided, 0, None) / NS
    return float(had[of_large].sum() / had.sum())


@pytest.mark.parametrize("kind", ["tree", "classic", "oblivious"])
def test_accounts_have_their_shares(kind: ShareKind) -> None:
    assert part_of_large(FairShare(1000, kind=kind, half_life_s=0)) == pytest.approx(0.75, abs=0.03)


def test_accounts_have_the_same_where_shares_have_no_weight() -> None:
    assert part_of_large(FairShare(0)) == pytest.approx(0.5, abs=0.03)
