"""A cluster whose nodes are daemons in one VM: golden, whole and smaller, in real time."""

import asyncio
from collections import Counter

import pyarrow as pa
import pytest

from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.trial_run import TrialRun
from actors.clusters.trial_spec import TrialSpec
from actors.hosts.local import LocalHost
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.trials import Trial
from campaign.schema.model import ClusterSettings, ValiditySettings
from schedulers.registry import adapter
from tests.system.trials import host_on, provisioner_on

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

NODES = 6
WIDTHS = (1, 12, 5, 2)
"""Of four slots a node: of one node, of three, of two, of one."""


@pytest.fixture
def host(tmp_path, bundle):
    with host_on(tmp_path, bundle) as opened:
        yield opened


def jobs_of(width_limit):
    job = {"arrival_s": 0.0, "runtime_s": 2.0, "requested_s": 60.0, "user": 1}
    rows = [
        {"job_id": number, "width": min(width, width_limit), **job}
        for number, width in enumerate(WIDTHS, start=1)
    ]
    return Workload("a few jobs", pa.Table.from_pylist(rows, schema=WORKLOAD_SCHEMA))


def test_jobs_run_on_the_nodes_of_one_vm_in_a_cluster_of_any_size(host, bundle):
    cluster_spec = ClusterSpec(
        campaign="test",
        scheduler=adapter("slurm"),
        settings=ClusterSettings(dense=True, memory_mib=640),
        bundle=bundle,
        smallest=2,
        largest=NODES,
    )
    provisioner = provisioner_on(host, cluster_spec)

    async def evaluated(number, nodes):
        spec = TrialSpec(
            Trial(number=number, point={}),
            "slurm",
            nodes,
            {"bf_interval": 7 + number},
            ValiditySettings(max_cpu_taken=1.0),
            jobs_of(4 * nodes),
        )
        return await TrialRun(cluster_spec, spec, LocalHost(host), provisioner).evaluate()

    async def both():
        return [await evaluated(number, nodes) for number, nodes in enumerate((NODES, 2))]

    whole, smaller = asyncio.run(both())
    for evaluation, nodes in ((whole, NODES), (smaller, 2)):
        assert (evaluation.outcome, evaluation.reason) == ("ok", "")
        assert evaluation.provenance.start == "golden"
        rows = evaluation.jobs.to_pylist()
        assert [len(row["nodes"]) for row in rows] == [1, min(3, nodes), 2, 1]
        used = Counter(node for row in rows for node in row["nodes"])
        assert set(used) <= {f"n{number}" for number in range(1, nodes + 1)}
    assert whole.provenance.golden_key == smaller.provenance.golden_key
    assert f"logs/head/var/log/slurm/slurmd-n{NODES}.log" in whole.files
