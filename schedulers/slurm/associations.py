"""What sacctmgr is told of a cluster's people: accounts, users, shares, limits, service qualities.

That is a text, which one sacctmgr reads from its standard input, line by line, before the
controller starts: a partition that names a quality of service which is not there ends it, and it
forgets accounts that it doesn't know when it reads who may use a partition. Limits on GPUs are a
text of their own, for they are understood only once a controller has said that it counts GPUs.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import ceil

from campaign.core.cluster import (
    Account,
    ClusterModel,
    Qos,
    User,
)
from campaign.schema.cluster import JobLimits, SharedLimits
from schedulers.base import Topology

ASSOCIATIONS = "/etc/slurm/associations.txt"
GPU_LIMITS = "/etc/slurm/gpu-limits.txt"
"""Where these texts stand on the head."""
OTHERS = "others"
"""The account of users who have none: nobody may submit without one."""
UNASKED = "normal"
"""The quality of service that Slurm makes itself, which jobs have unasked."""
_FLAGS = {
    "deny_on_limit": "DenyOnLimit",
    "no_reserve": "NoReserve",
    "no_decay": "NoDecay",
    "partition_max_nodes": "PartitionMaxNodes",
    "partition_min_nodes": "PartitionMinNodes",
    "partition_time_limit": "PartitionTimeLimit",
}
_RESOURCES = {"max_slots": "cpu={}", "max_nodes": "node={}", "max_memory_mib": "mem={}M"}
_GPUS = {"max_gpus": "gres/gpu={}"}
"""The limits on resources that Slurm tracks, and how it writes each."""


def associations(topology: Topology) -> bytes:
    """Return the text for sacctmgr; it is for a database that knows nobody yet."""
    return _text(_lines(topology.model))


def gpu_limits(topology: Topology) -> bytes:
    """Return the text of the limits on GPUs; nothing where no node has one: nobody gets any."""
    counted = any(node.gpus for node in topology.compute)
    return _text(_gpu_lines(topology.model) if counted else ())


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def add_cluster_command(cluster: str) -> tuple[str, ...]:
    """Return the command that makes slurmdbd know the cluster, as a controller does that starts."""
    known = f"[[ $(timeout 60 sacctmgr -n -P show cluster {cluster} format=cluster) ]]"
    return ("bash", "-c", f"{known} || timeout 60 sacctmgr -i add cluster {cluster}")


def tell_command(file: str) -> tuple[str, ...]:
    """Return the command that has sacctmgr read a text, once in the life of a database.

    It exits non-zero where a line was refused, and prints what sacctmgr has said.
    """
    told = f"{file}.told"
    script = f"[[ -e {told} ]] || {{ timeout 600 sacctmgr -i <{file} && touch {told}; }}"
    return ("bash", "-c", script)


def _lines(model: ClusterModel) -> Iterator[str]:
    for qos in model.qos:
        # One of that name is there already.
        there = qos.name == UNASKED
        settings = [*(["set"] if there else []), *_of_qos(qos)]
        yield _line("modify qos" if there else "add qos", qos.name, settings)
    for qos in model.qos:
        if qos.preempts:
            yield f"modify qos {qos.name} set Preempt={','.join(qos.preempts)}"
    if model.qos:
        # Who isn't told which ones he may have, may have any.
        allowed = ",".join((UNASKED, *(qos.name for qos in model.qos if qos.name != UNASKED)))
        yield f"modify account root set QOS={allowed} DefaultQOS={UNASKED}"
    for account in _parents_first(model.accounts):
        yield _line("add account", account.name, _of_account(account))
    if any(not user.accounts for user in model.users):
        yield f"add account {OTHERS}"
    for user in model.users:
        for own in user.accounts or (OTHERS,):
            yield _line("add user", user.name, [f"Account={own}", *_of_somebody(user)])


def _gpu_lines(model: ClusterModel) -> Iterator[str]:
    for qos in model.qos:
        if limits := list(_limits_of_qos(qos, _GPUS)):
            yield _line("modify qos", qos.name, ["set", *limits])
    for account in model.accounts:
        if limits := list(_limits_of_somebody(account, _GPUS)):
            yield _line("modify account", account.name, ["set", *limits])
    for user in model.users:
        if limits := list(_limits_of_somebody(user, _GPUS)):
            yield _line("modify user", user.name, ["set", *limits])


def _line(verb: str, name: str, settings: list[str]) -> str:
    return " ".join((verb, name, *settings))


def _parents_first(accounts: tuple[Account, ...]) -> Iterator[Account]:
    left = list(accounts)
    named: set[str | None] = {None}
    while ready := [account for account in left if account.parent in named]:
        yield from ready
        named |= {account.name for account in ready}
        left = [account for account in left if account.name not in named]


def _of_account(account: Account) -> list[str]:
    parent = [f"Parent={account.parent}"] if account.parent else []
    return parent + _of_somebody(account)


def _of_somebody(one: Account | User) -> list[str]:
    granted = [f"QOS={','.join(one.qos)}", f"DefaultQOS={one.qos[0]}"] if one.qos else []
    walls = list(_wall(one.per_job))
    limits = [*_limits_of_somebody(one, _RESOURCES), *walls, *_counts(one.in_all, "Grp")]
    return [f"Fairshare={one.shares}", *granted, *limits]


def _of_qos(qos: Qos) -> list[str]:
    settings = [f"Priority={qos.priority}", f"UsageFactor={qos.usage_factor:g}"]
    if qos.flags:
        settings.append(f"Flags={','.join(_FLAGS[flag] for flag in qos.flags)}")
    if qos.preempt != "off":
        settings.append(f"PreemptMode={qos.preempt}")
    return [
        *settings,
        *_wall(qos.per_job),
        *_counts(qos.in_all, "Grp"),
        *_counts(qos.per_user, "Max", "PerUser"),
        *_counts(qos.per_account, "Max", "PerAccount"),
        *_limits_of_qos(qos, _RESOURCES),
    ]


def _limits_of_qos(qos: Qos, kinds: Mapping[str, str]) -> Iterator[str]:
    yield from _tracked("MaxTRESPerJob", qos.per_job, kinds)
    yield from _tracked("GrpTRES", qos.in_all, kinds)
    yield from _tracked("MaxTRESPerUser", qos.per_user, kinds)
    yield from _tracked("MaxTRESPerAccount", qos.per_account, kinds)


def _limits_of_somebody(one: Account | User, kinds: Mapping[str, str]) -> Iterator[str]:
    yield from _tracked("MaxTRESPerJob", one.per_job, kinds)
    yield from _tracked("GrpTRES", one.in_all, kinds)


def _wall(limits: JobLimits) -> Iterator[str]:
    if limits.max_time_s is not None:
        # Slurm counts limits in minutes, as it does those of jobs.
        yield f"MaxWallDurationPerJob={ceil(limits.max_time_s / 60)}"


def _counts(limits: SharedLimits, begin: str, end: str = "") -> Iterator[str]:
    if limits.max_jobs is not None:
        yield f"{begin}Jobs{end}={limits.max_jobs}"
    if limits.max_submitted is not None:
        yield f"{begin}SubmitJobs{end}={limits.max_submitted}"


def _tracked(key: str, limits: JobLimits | SharedLimits, kinds: Mapping[str, str]) -> Iterator[str]:
    """Yield the limits on resources of these kinds, if there are any."""
    values = {name: getattr(limits, name) for name in kinds}
    told = [kinds[name].format(value) for name, value in values.items() if value is not None]
    if told:
        yield f"{key}={','.join(told)}"
