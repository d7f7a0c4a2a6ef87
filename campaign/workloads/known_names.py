"""Names of a workload that its cluster doesn't have: replaced by what stands for them, counted."""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from campaign.core.cluster import ClusterModel, User
from campaign.core.errors import WorkloadError
from campaign.core.jobs import Workload
from campaign.core.levers import Lever, obeyed_traits
from campaign.workloads.arrays import with_like_tasks
from campaign.workloads.traits import traits_of

_CONSTRAINT = re.compile(r"[\w.&|,()\[\]*-]+")
_FEATURE = re.compile(r"[A-Za-z_][\w.-]*")
SHOWN = 5
"""So many of the names that a cluster lacks are told."""


def known_to(
    model: ClusterModel, workload: Workload, levers: Collection[Lever], *, refuse: bool = False
) -> tuple[Workload, ClusterModel]:
    """Return the workload with names that the cluster knows, and the cluster with its users.

    `levers` are those that act. A job that names what the cluster lacks gets the default one,
    which a note counts. Each job has a user, where jobs are their users' own: the one that it
    names, if the cluster has it, else one by its number. With `refuse`, raise WorkloadError for the
    first kind of such names.
    """
    told = replace(workload, obeyed=workload.obeyed | obeyed_traits(levers))
    for trait, there, words, instead in _kinds(model):
        if trait in told.obeyed:
            told = _mapped(told, trait, there, (words, instead), refuse=refuse)
    told = _without_strange_features(told, model, refuse=refuse)
    if model.own_users:
        told, model = _with_users(told, model, refuse=refuse)
    return with_like_tasks(told), model


def _kinds(model: ClusterModel) -> Iterator[tuple[str, set[str], str, str]]:
    """Yield the traits that are names: those that the cluster has, in words, and the default."""
    default = model.default_partition
    yield (
        "partition",
        {each.name for each in model.partitions},
        "partitions",
        f"they go to {default.name}" if default else "",
    )
    yield "account", {each.name for each in model.accounts}, "accounts", "they have their user's"
    yield "qos", {each.name for each in model.qos}, "qualities of service", "they have the default"
    kinds = {group.gpu_type for group in model.groups if group.gpu_type}
    yield "gpu_type", kinds, "types of GPU", "they take any"
    reservations = {each.name for each in model.reservations}
    yield "reservation", reservations, "reservations", "they run outside of any"


def _mapped(
    workload: Workload, trait: str, there: set[str], words: tuple[str, str], *, refuse: bool
) -> Workload:
    if trait not in workload.traits.column_names:
        return workload
    column = workload.traits.column(trait).cast(pa.string())
    strange = pc.invert(pc.is_in(column, pa.array(sorted(there), pa.string())))
    strange = pc.and_(strange, pc.is_valid(column))
    jobs = pc.sum(strange).as_py() or 0
    if not jobs:
        return workload
    names = pc.unique(column.filter(strange)).to_pylist()
    if refuse:
        raise _strangers(words[0], names, there)
    kept = pc.if_else(strange, pa.scalar(None, pa.string()), column)
    columns = dict(zip(workload.traits.column_names, workload.traits.columns, strict=True))
    note = f"{_jobs(jobs)} ({_some(names)}): {words[1]}"
    return replace(
        workload,
        traits=traits_of(columns | {trait: kept}),
        notes=workload.notes | {f"{words[0]} that the cluster doesn't have": note},
    )


def _without_strange_features(workload: Workload, model: ClusterModel, *, refuse: bool) -> Workload:
    """Return the workload without constraints that speak of what no node has."""
    if "features" not in workload.obeyed or "features" not in workload.traits.column_names:
        return workload
    there = {feature for group in model.groups for feature in group.features}
    written = pc.unique(workload.traits.column("features").cast(pa.string())).drop_null()
    known = {
        text
        for text in written.to_pylist()
        if _CONSTRAINT.fullmatch(text) and set(_FEATURE.findall(text)) <= there
    }
    words = ("constraints on features", "they have none")
    return _mapped(workload, "features", known, words, refuse=refuse)


def _with_users(
    workload: Workload, model: ClusterModel, *, refuse: bool
) -> tuple[Workload, ClusterModel]:
    numbers = workload.table.column("user").to_pylist()
    traits = dict(zip(workload.traits.column_names, workload.traits.columns, strict=True))
    named = traits["user_name"].to_pylist() if "user_name" in traits else [None] * len(numbers)
    there = {user.name for user in model.users}
    if refuse and (strangers := [name for name in dict.fromkeys(named) if name not in there]):
        raise _strangers("users", [name or "(no name)" for name in strangers], there)
    # Names of a log are no names on nodes, where they may be those of the system's own users.
    users = [
        name if name in there else f"u{max(0, number):04d}"
        for name, number in zip(named, numbers, strict=True)
    ]
    added = sorted(set(users) - there)
    notes = workload.notes
    if added and "user_name" in traits:
        notes = notes | {
            "users that the cluster doesn't have": f"{len(added)} ({_some(added)}): they stand for "
            "those of the log, by its numbers"
        }
    mapped = replace(workload, traits=traits_of(traits | {"user_name": users}), notes=notes)
    return mapped, _with_accounts(model.with_users(added), mapped, set(added))


def _with_accounts(model: ClusterModel, workload: Workload, added: set[str]) -> ClusterModel:
    """Return the model in which users that it was not told of have the accounts of their jobs."""
    if not model.accounts:
        return model
    parents = {account.parent for account in model.accounts}
    default = next(each.name for each in model.accounts if each.name not in parents)
    names = workload.traits.column("user_name").to_pylist()
    known = "account" in workload.traits.column_names
    of_jobs = workload.traits.column("account").to_pylist() if known else [None] * len(names)
    found: dict[str, dict[str, None]] = {name: {} for name in added}
    for name, account in zip(names, of_jobs, strict=True):
        if name in found and account is not None:
            found[name][account] = None

    def completed(user: User) -> User:
        if user.accounts:
            return user
        return replace(user, accounts=tuple(found.get(user.name, ())) or (default,))

    return replace(model, users=tuple(map(completed, model.users)))


def _strangers(words: str, names: list[str], there: Collection[str]) -> WorkloadError:
    return WorkloadError(
        f"jobs name {words} that the cluster doesn't have: {_some(names)}",
        f"it has {', '.join(sorted(there)) or 'none'}",
        "Give the cluster what they name, or set workload.unknown=map.",
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
