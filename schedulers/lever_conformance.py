"""What adapters promise about the pieces of the cluster and job model that they express."""

from typing import Any

from campaign.core.levers import Lever
from schedulers.arrays import SubmitsArrays
from schedulers.base import Params, Topology
from schedulers.broken import require
from schedulers.facts import ImageFacts
from schedulers.interface import BoundScheduler, Scheduler

Sample = dict[str, Any]
"""Settings of a cluster; those of a job's traits under `job`."""
_PAIR: Sample = {"groups": {"a": {"nodes": 1}, "b": {"nodes": 1}}}
_APART: Sample = {"partitions": {"p": {"groups": ["a"]}, "q": {"groups": ["b"]}}}
_LIMIT: Sample = {"in_all": {"max_jobs": 3}}
_SIZE: Sample = {"in_all": {"max_slots": 3}}
_RANKED: Sample = {"job": {"qos": "s"}}
PULLS: dict[Lever, tuple[Sample, Sample]] = {
    Lever.UNLIKE_NODES: ({"groups": {"a": {"nodes": 1}, "b": {"nodes": 1, "slots": 8}}}, _PAIR),
    Lever.MEMORY: (
        {"groups": {"a": {"nodes": 2, "memory_mib": 4096}}, "job": {"memory_per_node_mib": 9.0}},
        {"groups": {"a": {"nodes": 2, "memory_mib": 4096}}},
    ),
    Lever.GPUS: (
        {"groups": {"a": {"nodes": 2, "gpus": 2}}, "job": {"gpus": 1}},
        {"groups": {"a": {"nodes": 2, "gpus": 2}}},
    ),
    Lever.FEATURES: (
        {"groups": {"a": {"nodes": 2, "features": ["ib"]}}, "job": {"features": "ib"}},
        {"groups": {"a": {"nodes": 2, "features": ["ib"]}}},
    ),
    Lever.PARTITIONS: (
        {**_PAIR, **_APART, "job": {"partition": "q"}},
        {**_PAIR, **_APART},
    ),
    Lever.PARTITION_LIMITS: ({"partitions": {"p": {"max_nodes": 1}}}, {"partitions": {"p": {}}}),
    Lever.PARTITION_PRIORITY: (
        {"partitions": {"p": {"priority_tier": 7}, "q": {}}, "job": {"partition": "p"}},
        {"partitions": {"p": {}, "q": {}}, "job": {"partition": "p"}},
    ),
    Lever.PARTITION_FACTORS: (
        {"partitions": {"p": {"priority_factor": 7}}},
        {"partitions": {"p": {}}},
    ),
    Lever.PARTITION_ACCESS: (
        {"accounts": {"c": {}}, "partitions": {"p": {"allow_accounts": ["c"]}}},
        {"accounts": {"c": {}}, "partitions": {"p": {}}},
    ),
    Lever.PARTITION_QOS: (
        {"qos": {"s": {}}, "partitions": {"p": {"qos": "s"}}},
        {"qos": {"s": {}}, "partitions": {"p": {}}},
    ),
    Lever.PREEMPTION: ({"partitions": {"p": {"preempt": "cancel"}}}, {"partitions": {"p": {}}}),
    Lever.USERS: ({"users": {"u": {}}, "job": {"user_name": "u"}}, {"users": {"u": {}}}),
    Lever.ACCOUNTS: (
        {"accounts": {"c": {}, "d": {"shares": 3}}, "job": {"account": "d"}},
        {"accounts": {"c": {}, "d": {"shares": 3}}},
    ),
    Lever.ACCOUNT_TREES: (
        {"accounts": {"c": {}, "d": {"parent": "c"}}},
        {"accounts": {"c": {}, "d": {}}},
    ),
    Lever.ACCOUNT_SIZES: ({"accounts": {"c": _SIZE}}, {"accounts": {"c": {}}}),
    Lever.USER_SHARES: (
        {"accounts": {"c": {}}, "users": {"u": {"accounts": ["c"], "shares": 3}}},
        {"accounts": {"c": {}}, "users": {"u": {"accounts": ["c"]}}},
    ),
    Lever.QOS: ({"qos": {"s": {"priority": 5}}, **_RANKED}, {"qos": {"s": {}}, **_RANKED}),
    Lever.QOS_LIMITS: ({"qos": {"s": {"per_user": {"max_jobs": 1}}}}, {"qos": {"s": {}}}),
    Lever.QOS_ACCESS: (
        {"qos": {"s": {}}, "accounts": {"c": {"qos": ["s"]}}},
        {"qos": {"s": {}}, "accounts": {"c": {}}},
    ),
    Lever.LIMITS: ({"accounts": {"c": _LIMIT}}, {"accounts": {"c": {}}}),
    Lever.RESERVATIONS: (
        {"users": {"u": {}}, "reservations": {"r": {"duration_s": 60, "users": ["u"]}}},
        {"users": {"u": {}}},
    ),
    Lever.NODE_EVENTS: ({"events": [{"at_s": 1, "node": "n1", "becomes": "drain"}]}, {}),
    Lever.NODE_COUNTS: ({"job": {"nodes": 2}}, {}),
    Lever.EXCLUSIVE: ({"job": {"exclusive": True}}, {}),
    Lever.DEPENDENCIES: ({"job": {"after": (3,), "after_kind": "afterok"}}, {}),
    Lever.ARRAYS: ({"job": {"array": 3, "array_limit": 1}}, {}),
}
"""For each lever a cluster of two nodes and a job that pull it, and the same ones without."""


def what_it_expresses_is_said(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless adapter and image say which levers they know, the image no more."""
    bound = scheduler.for_image(facts)
    strange = [one for one in (*scheduler.expresses, *bound.expresses) if one not in set(Lever)]
    require(not strange, f"it expresses {strange}, which are no levers")
    more = bound.expresses - scheduler.expresses
    require(not more, f"on this image it expresses {sorted(more)}, and by itself it doesn't")


def what_it_expresses_reaches_the_scheduler(
    scheduler: Scheduler[Params], facts: ImageFacts
) -> None:
    """Raise Broken unless each lever changes what the scheduler is told of cluster or job."""
    bound = scheduler.for_image(facts)
    for lever in sorted(bound.expresses):
        pulled, without = (_told(bound, sample) for sample in PULLS[lever])
        require(pulled != without, f"it expresses {lever.value}, and tells nobody of it")


LEVER_PROMISES = (what_it_expresses_is_said, what_it_expresses_reaches_the_scheduler)


def _told(bound: BoundScheduler[Params], sample: Sample) -> tuple[object, ...]:
    """Return all that a scheduler is told of a sample's cluster and job."""
    from campaign.core.jobs import Job, JobTraits

    wishes = JobTraits(**sample.get("job", {}))
    job = Job(7, 0.0, 2, 1.0, 60.0, 0, wishes)
    cluster = _topology({key: value for key, value in sample.items() if key != "job"})
    secrets = bound.scheduler.make_secrets(lambda count: b"x" * count)
    arrays: tuple[object, ...] = ()
    if isinstance(bound, SubmitsArrays) and wishes.array is not None:
        arrays = tuple(bound.submit_array_commands([job, job], cluster, "/7.sh"))
    return (
        bound.plan(cluster, bound.scheduler.Params(), secrets).describe(),
        bound.job_script(job, cluster, "true"),
        bound.submit_command(job, cluster, "/7.sh"),
        arrays,
        tuple(bound.timed_commands(cluster)),
    )


def _topology(settings: Sample) -> Topology:
    from campaign.schema.model import ClusterSettings
    from schedulers.topologies import topology_of

    return topology_of("conformance", 2, ClusterSettings.model_validate(settings), 512)
