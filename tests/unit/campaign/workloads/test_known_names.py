"""Names that a cluster lacks: counted and replaced, or refused; and users for all jobs."""

from dataclasses import replace

import pyarrow as pa
import pytest

from campaign.core.cluster import FIRST_UID, Account, ClusterModel, Partition, User
from campaign.core.errors import WorkloadError
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.levers import Lever
from campaign.workloads.known_names import known_to
from campaign.workloads.traits import traits_of

PARTITIONED = ClusterModel(partitions=(Partition("small"), Partition("main", default=True)))
PEOPLED = ClusterModel(
    accounts=(Account("top"), Account("physics", "top")),
    users=(User("ada", FIRST_UID),),
    own_users=True,
)


def workload(**traits) -> Workload:
    rows = [
        {"job_id": n, "arrival_s": n, "width": 1, "runtime_s": 1, "requested_s": 1, "user": n}
        for n in range(3)
    ]
    return Workload("w", pa.Table.from_pylist(rows, WORKLOAD_SCHEMA), traits=traits_of(traits))


def test_jobs_of_a_strange_partition_go_to_the_default_one_and_are_counted() -> None:
    jobs = workload(partition=["small", "gone", None])
    mapped, _ = known_to(PARTITIONED, jobs, {Lever.PARTITIONS})
    assert [job.traits.partition for job in mapped.jobs()] == ["small", None, None]
    assert mapped.sentences == [
        "partitions that the cluster doesn't have: 1 job (gone): they go to main"
    ]


def test_strange_names_are_refused_where_that_is_wanted() -> None:
    jobs = workload(partition=["small", "gone", None])
    with pytest.raises(WorkloadError, match="partitions that the cluster doesn't have: gone"):
        known_to(PARTITIONED, jobs, {Lever.PARTITIONS}, refuse=True)


def test_what_no_lever_pulls_is_not_told_to_schedulers() -> None:
    jobs = workload(partition=["small", "gone", None], gpus=[1, 2, None])
    told, model = known_to(ClusterModel(), jobs, {Lever.GPUS})
    assert [job.traits.gpus for job in told.jobs()] == [1, 2, None]
    assert [job.traits.partition for job in told.jobs()] == [None] * 3
    assert told.sentences == ["partition of 2 jobs: not replayed"]
    assert model == ClusterModel()


def test_each_job_has_a_user_of_the_cluster_and_an_account_of_theirs() -> None:
    jobs = workload(user_name=["ada", "root", None], account=["physics", "physics", None])
    levers = {Lever.USERS, Lever.ACCOUNTS}
    mapped, model = known_to(PEOPLED, jobs, levers)
    assert [job.traits.user_name for job in mapped.jobs()] == ["ada", "u0001", "u0002"]
    assert {user.name: user.accounts for user in model.users} == {
        "ada": ("physics",),  # the first account that is nobody's parent
        "u0001": ("physics",),
        "u0002": ("physics",),
    }
    assert len({user.uid for user in model.users}) == 3
    # What is known already stays as it is.
    assert known_to(PEOPLED, mapped, levers)[1] == model


def test_what_is_obeyed_is_part_of_what_is_replayed() -> None:
    jobs = workload(gpus=[1, 2, None])
    assert replace(jobs, obeyed=frozenset({"gpus"})).hash != jobs.hash
