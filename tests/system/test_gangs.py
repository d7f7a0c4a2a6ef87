"""What becomes of wide jobs that compete: under Kubernetes' own scheduler each can hold what the
other needs."""

import asyncio

import pyarrow as pa
import pytest

from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.trial_run import TrialRun, TrialSpec
from actors.hosts.local import LocalHost
from campaign.core.jobs import WORKLOAD_SCHEMA, Job, Workload
from campaign.core.trials import Trial
from campaign.schema.model import ClusterSettings, ValiditySettings
from schedulers.registry import adapter
from tests.system.trials import host_on, provisioner_on

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]

NODES = 2
JOBS = (
    Job(1, 0.0, 1, 60.0, 300.0, 0),
    Job(2, 25.0, 8, 5.0, 300.0, 0),
    Job(3, 35.0, 5, 5.0, 300.0, 0),
)
"""On two nodes of four slots. While the first job has one slot, a pod of the second fits the other
node, and one of the third (of three slots) fits beside the first. Then each waits for the
other's."""


@pytest.mark.parametrize(("name", "outcome"), [("kube", "stalled"), ("volcano", "ok")])
def test_half_started_jobs_wait_for_each_other_unless_they_are_gangs(
    tmp_path, bundle_of, name, outcome
):
    scheduler = adapter(name)
    bundle = bundle_of(scheduler.image)
    cluster = ClusterSettings(memory_mib=scheduler.memory_mib, start="cold", stall_s=60)
    workload = Workload(
        "gangs", pa.Table.from_pylist([job._asdict() for job in JOBS], schema=WORKLOAD_SCHEMA)
    )
    with host_on(tmp_path, bundle) as host:
        cluster_spec = ClusterSpec(
            "test", scheduler, cluster, bundle, smallest=NODES, largest=NODES
        )
        spec = TrialSpec(Trial(number=0, point={}), name, NODES, {}, ValiditySettings(), workload)
        found = asyncio.run(
            TrialRun(
                cluster_spec, spec, LocalHost(host), provisioner_on(host, cluster_spec)
            ).evaluate()
        )
    assert found.outcome == outcome, found.reason
    if outcome == "stalled":
        assert (
            "0 jobs run and 2 wait" in found.reason
            and "2 Insufficient campaign.dev/slot" in found.reason
        )
