"""Whether a cluster's groups, partitions, people and rules belong together, and who can have them.

Each problem says which setting is wrong, what is allowed, and why.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from campaign.core.levers import OF_USERS, Lever, levers_in_use
from campaign.schema.cluster import OBJECT_NAME
from campaign.schema.model import Campaign, ClusterSettings
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import ARMS, PARAMS, Problem

RESERVED_USERS = frozenset({"root", "daemon", "nobody", "slurm", "munge", "flux", "sshd", "bin"})
"""Names that nodes have for their own."""


def inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    """Yield what in the model of the cluster names what isn't there, or can't be."""
    cluster = campaign.cluster
    yield from _names(cluster)
    yield from _groups(cluster)
    yield from _references(cluster)
    yield from _of_partitions(campaign)
    yield from _parents(cluster)
    yield from _defaults(cluster)
    yield from _times(cluster)


def not_expressed(campaign: Campaign, schedulers: Iterable[Scheduler[Params]]) -> Iterator[Problem]:
    """Yield what of the model one of the schedulers, or the simulation, can't express."""
    used = list(levers_in_use(campaign.cluster, campaign.workload))
    able: dict[str, Collection[Lever]] = {}
    for each in schedulers:
        able[each.name] = each.expresses
        if campaign.testbed.kind == "simulation":
            able[each.name] = each.expresses | OF_USERS
            simulated = each.policy(each.Params()).obeys
            known = simulated if campaign.testbed.policy == "scheduler" else frozenset()
            able["the simulation"] = known & frozenset(able.get("the simulation", known))
    for name, levers in able.items():
        told = set()
        for lever, path, value in used:
            if lever not in levers and lever not in told:
                told.add(lever)
                yield Problem(path, value, _can(levers), f"{name} can't express {lever.value}")


def _can(levers: Collection[Lever]) -> str:
    known = sorted(lever.value for lever in levers)
    return f"only {', '.join(known)}" if known else "equal nodes and nothing beside them"


def _of_partitions(campaign: Campaign) -> Iterator[Problem]:
    """Yield the parameters of partitions that aren't there."""
    settings = campaign.scheduler
    arms = {
        PARAMS: settings.params,
        **{f"{ARMS}.{name}": own for name, own in settings.arms.items()},
    }
    for prefix, params in arms.items():
        for name in params:
            group, _, below = name.partition(".")
            partition = below.rpartition(".")[0]
            if group == "partitions" and partition not in campaign.cluster.partitions:
                there = ", ".join(campaign.cluster.partitions) or "none: set cluster.partitions"
                yield Problem(f"{prefix}.{name}", partition, there, "there is no such partition")


def _names(cluster: ClusterSettings) -> Iterator[Problem]:
    for kind in ("groups", "partitions", "accounts", "users", "qos", "reservations"):
        for name in getattr(cluster, kind):
            if not re.fullmatch(OBJECT_NAME, name):
                yield Problem(f"cluster.{kind}", name, f"text matching {OBJECT_NAME}", "no name")
    for name in sorted(cluster.users.keys() & RESERVED_USERS):
        why = "nodes have a user of this name for themselves"
        yield Problem(f"cluster.users.{name}", name, "another name", why)


def _groups(cluster: ClusterSettings) -> Iterator[Problem]:
    searched = [
        name for name, group in cluster.groups.items() if not isinstance(group.nodes, int | float)
    ]
    for name in searched[1:]:
        why = f"the number of nodes of {searched[0]} is searched, and one group's may be"
        yield Problem(f"cluster.groups.{name}.nodes", cluster.groups[name].nodes, "a number", why)
    for name, group in cluster.groups.items():
        path = f"cluster.groups.{name}"
        fixed = group.nodes
        if name not in searched and (not isinstance(fixed, int) or fixed is True or fixed < 1):
            yield Problem(f"{path}.nodes", fixed, "[1 .. 1024]", "not a number of nodes")
        if group.gpu_type and not group.gpus:
            why = "a type needs GPUs that have it"
            yield Problem(f"{path}.gpu_type", group.gpu_type, f"{path}.gpus above 0", why)


def _references(cluster: ClusterSettings) -> Iterator[Problem]:
    for path, names, kind in _named(cluster):
        there: Mapping[str, object] = getattr(cluster, kind)
        allowed = f"of {', '.join(there)}" if there else f"none: cluster.{kind} is empty"
        for name in names:
            if name not in there:
                yield Problem(path, name, allowed, f"cluster.{kind} has no {name}")


def _named(cluster: ClusterSettings) -> Iterator[tuple[str, Iterable[str], str]]:
    """Yield each setting that names others: its path, those names, and what they are names of."""
    for name, group in cluster.groups.items():
        yield f"cluster.groups.{name}.networks", group.networks or (), "networks"
    for name, partition in cluster.partitions.items():
        path = f"cluster.partitions.{name}"
        yield f"{path}.groups", partition.groups, "groups"
        yield f"{path}.allow_accounts", partition.allow_accounts, "accounts"
        yield f"{path}.allow_qos", partition.allow_qos, "qos"
        yield f"{path}.qos", _some(partition.qos), "qos"
    for name, account in cluster.accounts.items():
        path = f"cluster.accounts.{name}"
        yield f"{path}.parent", _some(account.parent), "accounts"
        yield f"{path}.qos", account.qos, "qos"
    for name, user in cluster.users.items():
        yield f"cluster.users.{name}.accounts", user.accounts, "accounts"
        yield f"cluster.users.{name}.qos", user.qos, "qos"
    for name, qos in cluster.qos.items():
        yield f"cluster.qos.{name}.preempts", qos.preempts, "qos"
    for name, reservation in cluster.reservations.items():
        path = f"cluster.reservations.{name}"
        yield f"{path}.group", _some(reservation.group), "groups"
        yield f"{path}.users", reservation.users, "users"
        yield f"{path}.accounts", reservation.accounts, "accounts"
    for place, event in enumerate(cluster.events):
        yield f"cluster.events.{place}.group", _some(event.group), "groups"


def _some(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def _parents(cluster: ClusterSettings) -> Iterator[Problem]:
    parents = {name: account.parent for name, account in cluster.accounts.items()}
    for name, own in parents.items():
        above = [name]
        while (parent := parents.get(above[-1])) is not None and parent not in above:
            above.append(parent)
        if parent == name:
            why = f"it would be above itself: {' -> '.join([*above, name])}"
            yield Problem(f"cluster.accounts.{name}.parent", own, "a tree", why)


def _defaults(cluster: ClusterSettings) -> Iterator[Problem]:
    defaults = [name for name, each in cluster.partitions.items() if each.default]
    for name in defaults[1:]:
        why = f"{defaults[0]} is the default partition, and there is one"
        yield Problem(f"cluster.partitions.{name}.default", True, "false", why)
    for name, partition in cluster.partitions.items():
        path = f"cluster.partitions.{name}"
        low = partition.min_nodes
        high = partition.max_nodes
        if low is not None and high is not None and low > high:
            why = f"no job could have {low} nodes or more, and {high} or fewer"
            yield Problem(f"{path}.min_nodes", low, f"[1 .. {high}]", why)
        default_s = partition.default_time_s
        most_s = partition.max_time_s
        if default_s is not None and most_s is not None and default_s > most_s:
            why = f"the partition's longest is {most_s:g} s"
            yield Problem(f"{path}.default_time_s", default_s, f"[1 .. {most_s:g}] s", why)


def _times(cluster: ClusterSettings) -> Iterator[Problem]:
    for name, reservation in cluster.reservations.items():
        path = f"cluster.reservations.{name}"
        if not (reservation.users or reservation.accounts or reservation.maintenance):
            why = "nobody may use it"
            allowed = "users, accounts, or maintenance: true"
            yield Problem(path, name, allowed, why)
    for place, event in enumerate(cluster.events):
        path = f"cluster.events.{place}"
        if (event.node is None) == (event.group is None):
            yield Problem(path, event.node or "", "node, or group", "one of the two says which")
        elif event.node and event.count:
            yield Problem(f"{path}.count", event.count, "not set", "node names one node")
