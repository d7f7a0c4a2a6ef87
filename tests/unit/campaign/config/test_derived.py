"""Settings that nobody gave and that others decide: the limits of virtual time, and memory."""

import pytest

from campaign.config.compose import compose
from campaign.config.derived import VIRTUAL_STALL_S
from campaign.core.errors import ConfigError

VIRTUAL = "testbed=virtual-time"


def test_virtual_time_has_limits_for_days_and_runs_all_of_a_batch_at_once():
    campaign = compose([VIRTUAL]).campaign
    cluster = campaign.cluster
    assert (cluster.dense, cluster.workload_deadline_s, cluster.stall_s) == (
        True,
        0.0,
        VIRTUAL_STALL_S,
    )
    assert campaign.testbed.parallel == campaign.search.batch > 1
    assert campaign.testbed.deterministic and campaign.workload.time_scale == 1.0


def test_what_is_given_is_kept():
    given = ["cluster.workload_deadline_s=5000", "cluster.stall_s=60", "testbed.parallel=3"]
    campaign = compose([VIRTUAL, *given]).campaign
    assert (campaign.cluster.workload_deadline_s, campaign.cluster.stall_s) == (5000, 60)
    assert (campaign.testbed.parallel, campaign.search.batch) == (3, 4)


def test_real_time_keeps_its_limits_and_must_have_one():
    campaign = compose([]).campaign
    assert (campaign.cluster.workload_deadline_s, campaign.cluster.stall_s) == (600, 120)
    assert campaign.testbed.parallel == 1
    with pytest.raises(ConfigError, match="real time needs a limit other than 0"):
        compose(["cluster.workload_deadline_s=0"])


def test_a_guest_has_memory_for_the_nodes_of_the_largest_cluster():
    few, many = (compose([VIRTUAL, f"cluster.nodes={nodes}"]).campaign for nodes in (4, 64))
    assert 512 <= few.cluster.memory_mib < many.cluster.memory_mib < 64 * 64
    given = compose([VIRTUAL, "cluster.nodes=64", "cluster.memory_mib=4096"]).campaign
    assert given.cluster.memory_mib == 4096
