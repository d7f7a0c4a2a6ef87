"""The model of a cluster under schedulers other than Slurm, in virtual time: each job runs where,
and when, what it wishes lets it."""

import pytest

from schedulers.registry import adapter
from tests.system.conftest import Workplace
from tests.system.modelled import replayed, workload_file

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

CLUSTER = (
    "cluster.groups={cpu: {nodes: 3, slots: 4, memory_mib: 2048, features: [ib]}, "
    "gpu: {nodes: 1, slots: 4, memory_mib: 8192, gpus: 2, gpu_type: a100}}",
    "cluster.partitions={day: {default: true}, debug: {groups: [gpu], priority_tier: 2}}",
    "cluster.qos={urgent: {priority: 10}}",
    "cluster.users={ada: {}}",
    "cluster.events=[{at_s: 500, node: n1, becomes: drain}, {at_s: 540, node: n1, becomes: up}]",
    "workload.obey=[nodes, exclusive]",
)
GPUS = {"gpus": 2, "gpu_type": "a100"}
WISHES = (
    {"job_id": 1, "arrival_s": 5, "runtime_s": 60, "memory_per_node_mib": 4096.0},
    {"job_id": 2, "arrival_s": 5, "runtime_s": 60, **GPUS},
    {"job_id": 3, "arrival_s": 0, "runtime_s": 60, "features": "ib"},
    {"job_id": 4, "arrival_s": 100, "runtime_s": 60, "width": 2, "nodes": 2, "exclusive": True},
    {"job_id": 5, "arrival_s": 110, "runtime_s": 20, "width": 4, "features": "ib"},
    # The two GPUs are for one after the other, by their ranks.
    {"job_id": 6, "arrival_s": 200, "runtime_s": 90, **GPUS},
    {"job_id": 7, "arrival_s": 210, "runtime_s": 30, **GPUS},
    {"job_id": 8, "arrival_s": 220, "runtime_s": 30, **GPUS, "qos": "urgent"},
    {"job_id": 9, "arrival_s": 230, "runtime_s": 30, **GPUS, "partition": "debug"},
    # One of the three nodes is drained until 540.
    {"job_id": 10, "arrival_s": 510, "runtime_s": 90, "width": 8, "features": "ib"},
    {"job_id": 11, "arrival_s": 515, "runtime_s": 10, "width": 4, "features": "ib"},
)
FLUX = (
    "scheduler=flux",
    "cluster.groups={cpu: {nodes: 3, slots: 4, features: [ib]}, "
    "gpu: {nodes: 1, slots: 4, gpus: 2, gpu_type: a100}}",
    "cluster.partitions={day: {default: true}, debug: {groups: [cpu], max_time_s: 300}}",
    "cluster.qos={urgent: {priority: 10}}",
    "cluster.events=[{at_s: 500, node: n1, becomes: drain}, {at_s: 540, node: n1, becomes: up}]",
    "workload.obey=[nodes, exclusive, dependencies]",
)
OF_FLUX = (
    # What Flux has no word for are memory, and ranks of partitions.
    *(job for job in WISHES if job["job_id"] not in (1, 9)),
    {"job_id": 9, "arrival_s": 230, "runtime_s": 30, "partition": "debug"},
    {"job_id": 12, "arrival_s": 240, "runtime_s": 10, "after": [6], "after_kind": "afterok"},
)
SHARES = (
    # With `enqueue`, shares are of what has pods, which not all that waits has.
    "scheduler.params.actions='allocate, backfill'",
    "cluster.nodes=4",
    "cluster.slots_per_node=3",
    "cluster.accounts={one: {shares: 1}, three: {shares: 3}, "
    "capped: {shares: 4, in_all: {max_slots: 4}}, first: {shares: 1}}",
)
OF_ACCOUNTS = {"one": range(2, 7), "capped": range(7, 12), "three": range(12, 20)}
"""The jobs that wait behind the first one."""


@pytest.fixture(scope="module")
def place(tmp_path_factory, image_store):
    """A workplace, on which nothing is left afterwards."""
    workplace = Workplace(tmp_path_factory.mktemp("queues"), image_store)
    yield workplace
    workplace.clear()


def starts_s(jobs, *numbers):
    return [jobs[number]["start_ns"] / 1e9 for number in numbers]


def ends_s(jobs, number):
    return jobs[number]["end_ns"] / 1e9


def have_their_wishes(jobs):
    """Whether the jobs that all schedulers have were where, and when, they should be."""
    assert {tuple(jobs[number]["nodes"]) for number in (2, 6, 7, 8)} == {("n4",)}
    assert "n4" not in jobs[3]["nodes"]
    assert len(set(jobs[4]["nodes"])) == 2
    if jobs[5]["nodes"][0] in jobs[4]["nodes"]:
        assert starts_s(jobs, 5)[0] > ends_s(jobs, 4)
    urgent, plain = starts_s(jobs, 8, 7)
    assert ends_s(jobs, 6) < urgent < plain
    assert set(jobs[10]["nodes"]) == {"n2", "n3"} and jobs[11]["nodes"] == ["n1"]
    assert 540 < starts_s(jobs, 11)[0] < ends_s(jobs, 10)


@pytest.mark.parametrize("name", ["kube", "volcano"])
def test_jobs_on_kubernetes_run_where_they_wish_and_by_their_ranks(
    place, bundle_of, tmp_path, name
):
    bundle_of(adapter(name).image)
    file = workload_file(tmp_path, WISHES)
    _, jobs = replayed(place, name, f"scheduler={name}", f"workload.path={file}", *CLUSTER)
    have_their_wishes(jobs)
    assert jobs[1]["nodes"] == jobs[9]["nodes"] == ["n4"]
    assert ends_s(jobs, 6) < starts_s(jobs, 9)[0] < starts_s(jobs, 8)[0]


def test_jobs_of_flux_run_where_they_wish_and_by_their_urgency(place, bundle_of, tmp_path):
    bundle_of("flux")
    file = workload_file(tmp_path, OF_FLUX)
    _, jobs = replayed(place, "flux", f"workload.path={file}", *FLUX)
    have_their_wishes(jobs)
    assert "n4" not in jobs[9]["nodes"]
    assert starts_s(jobs, 12)[0] > ends_s(jobs, 6)


def test_queues_of_volcano_share_by_their_weights_up_to_their_capability(
    place, bundle_of, tmp_path
):
    """One job has the whole cluster while all others come; then they share twelve slots."""
    bundle_of("kubernetes")
    rows = [{"job_id": 1, "arrival_s": 0, "runtime_s": 90, "width": 12, "account": "first"}]
    for account, numbers in OF_ACCOUNTS.items():
        rows += [
            {"job_id": number, "arrival_s": 10, "runtime_s": 100, "account": account}
            for number in numbers
        ]
    file = workload_file(tmp_path, rows)
    _, jobs = replayed(place, "shares", "scheduler=volcano", f"workload.path={file}", *SHARES)
    soon = ends_s(jobs, 1) + 50
    began = {
        account: sum(start < soon for start in starts_s(jobs, *numbers))
        for account, numbers in OF_ACCOUNTS.items()
    }
    assert began == {"one": 2, "three": 6, "capped": 4}
