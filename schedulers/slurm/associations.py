"""What sacctmgr is told of a cluster's people: accounts, users, shares, limits, service qualities.

All of it is one text, which one sacctmgr reads from its standard input, line by line.
"""

from collections.abc import Iterator
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
"""Where that text stands on the head."""
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
_RESOURCES = {
    "max_slots": "cpu={}",
    "max_nodes": "node={}",
    "max_gpus": "gres/gpu={}",
    "max_memory_mib": "mem={}M",
}
"""The limits on resources that Slurm tracks, and how it writes each."""


def associations(topology: Topology) -> bytes:
    """Return the text for sacctmgr; it is for a database that knows nobody yet."""
    return "".join(f"{line}\n" for line in _lines(topology.model)).encode()


def tell_command() -> tuple[str, ...]:
    """Return the command that has sacctmgr read the text, once in the life of a database.

    It exits non-zero where a line was refused, and prints what sacctmgr has said. Limits on GPUs
    are understood only after a controller has told slurmdbd that it counts them.
    """
    told = f"{ASSOCIATIONS}.told"
    script = f"[[ -e {told} ]] || {{ timeout 600 sacctmgr -i <{ASSOCIATIONS} && touch {told}; }}"
    return ("bash", "-c", script)


def _lines(model: ClusterModel) -> Iterator[str]:
    for qos in model.qos:
        yield _line("add qos", qos.name, _of_qos(qos))
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
    limits = [*_of_job(one.per_job), *_shared(one.in_all, "Grp")]
    return [f"Fairshare={one.shares}", *granted, *limits]


def _of_qos(qos: Qos) -> list[str]:
    settings = [f"Priority={qos.priority}", f"UsageFactor={qos.usage_factor:g}"]
    if qos.flags:
        settings.append(f"Flags={','.join(_FLAGS[flag] for flag in qos.flags)}")
    if qos.preempt != "off":
        settings.append(f"PreemptMode={qos.preempt}")
    return [
        *settings,
        *_of_job(qos.per_job),
        *_shared(qos.in_all, "Grp"),
        *_shared(qos.per_user, "Max", "PerUser"),
        *_shared(qos.per_account, "Max", "PerAccount"),
    ]


def _of_job(limits: JobLimits) -> Iterator[str]:
    if resources := _resources(limits):
        yield f"MaxTRESPerJob={resources}"
    if limits.max_time_s is not None:
        # Slurm counts limits in minutes, as it does those of jobs.
        yield f"MaxWallDurationPerJob={ceil(limits.max_time_s / 60)}"


def _shared(limits: SharedLimits, begin: str, end: str = "") -> Iterator[str]:
    if limits.max_jobs is not None:
        yield f"{begin}Jobs{end}={limits.max_jobs}"
    if limits.max_submitted is not None:
        yield f"{begin}SubmitJobs{end}={limits.max_submitted}"
    if resources := _resources(limits):
        yield f"{begin}TRES{end}={resources}"


def _resources(limits: JobLimits | SharedLimits) -> str:
    values = {name: getattr(limits, name) for name in _RESOURCES}
    return ",".join(
        _RESOURCES[name].format(value) for name, value in values.items() if value is not None
    )
