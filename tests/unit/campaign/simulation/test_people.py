"""Whose jobs are: the tree of accounts and users, and each job's place in it."""

import pyarrow as pa

from campaign.core.cluster import (
    Account,
    ClusterModel,
    Partition,
    Qos,
    User,
)
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.schema.cluster import JobLimits
from campaign.simulation.people import NOBODY, ownership, people_of
from campaign.workloads.traits import traits_of

MODEL = ClusterModel(
    partitions=(Partition("day"), Partition("long", default=True)),
    accounts=(
        Account("bio", shares=3, qos=("high", "normal"), per_job=JobLimits(max_slots=8)),
        Account("bio-a", parent="bio", per_job=JobLimits(max_nodes=2)),
        Account("phys"),
    ),
    users=(
        User("ada", 1, ("phys", "bio")),
        User("bob", 2, ("bio-a",), per_job=JobLimits(max_nodes=4)),
        User("eve", 3),
    ),
    qos=(Qos("high", 10), Qos("low", 1)),
    own_users=True,
)


def owned(**traits):
    """The places that jobs with these traits have, by name, a row per job."""
    count = len(next(iter(traits.values())))
    columns = {
        "job_id": range(count),
        "arrival_s": [0.0] * count,
        "width": [1] * count,
        "runtime_s": [1.0] * count,
        "requested_s": [1.0] * count,
        "user": [0] * count,
    }
    jobs = pa.table({name: list(column) for name, column in columns.items()}, WORKLOAD_SCHEMA)
    people = people_of(MODEL)
    workload = Workload("w", jobs, traits=traits_of(traits), obeyed=frozenset(traits))
    found = ownership(people, MODEL, workload)
    associations = [(one.account, one.user) for one in people.associations] + [None]
    qos = [one.name for one in people.qos] + [None]
    queues = [one.name for one in MODEL.partitions] + [None]
    return [
        (associations[own], qos[rank], queues[queue])
        for own, rank, queue in zip(*found, strict=True)
    ]


def test_associations_stand_below_their_accounts_users_first():
    people = people_of(MODEL)
    rows = people.associations
    assert [(one.account, one.user, rows[one.parent].account) for one in rows[1:]] == [
        ("root", "root", "root"),
        ("bio", None, "root"),
        ("bio", "ada", "bio"),
        ("bio-a", None, "bio"),
        ("bio-a", "bob", "bio-a"),
        ("others", None, "root"),
        ("others", "eve", "others"),
        ("phys", None, "root"),
        ("phys", "ada", "phys"),
    ]
    assert rows[0].parent == NOBODY
    assert rows[2].shares == 3
    assert [qos.name for qos in people.qos] == ["normal", "high", "low"]


def test_limits_of_a_job_are_the_nearest_ones():
    people = people_of(MODEL)
    assert people.per_job(5) == JobLimits(max_slots=8, max_nodes=4)
    assert people.per_job(4) == JobLimits(max_slots=8, max_nodes=2)
    assert people.per_job(9) == JobLimits()


def test_jobs_have_what_they_name_or_the_default():
    assert owned(
        user_name=["ada", "ada", "bob", "eve", None],
        account=[None, "bio", None, None, None],
        qos=[None, None, None, "low", None],
        partition=["day", None, None, None, "day"],
    ) == [
        (("phys", "ada"), "normal", "day"),
        (("bio", "ada"), "high", "long"),
        (("bio-a", "bob"), "high", "long"),
        (("others", "eve"), "low", "long"),
        (("root", "root"), "normal", "day"),
    ]


def test_jobs_in_accounts_or_qualities_that_they_may_not_have_are_nobodys():
    assert owned(
        user_name=["bob", "bob", "zed"], account=["phys", None, None], qos=[None, "low", None]
    ) == [
        (None, None, "long"),
        (("bio-a", "bob"), None, "long"),
        (None, None, "long"),
    ]


def test_traits_that_are_not_obeyed_say_nothing():
    assert owned(partition=["day", "long"]) == [
        (("root", "root"), "normal", "day"),
        (("root", "root"), "normal", "long"),
    ]
