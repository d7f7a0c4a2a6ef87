"""Scales a site's cluster down to what runs here, and says what that distorts."""

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import TypeVar

from campaign.core.errors import ConfigError
from campaign.schema.cluster import ClusterModelSettings
from campaign.schema.settings import Settings

OF_SIZE = (
    *("nodes", "max_nodes", "min_nodes", "max_slots", "max_gpus", "max_memory_mib"),
    *("per_job", "per_user", "per_account", "in_all"),
)
"""Settings that grow with a cluster, and groups of such."""
Model = TypeVar("Model", bound=Settings)


def scaled(model: ClusterModelSettings, share: Fraction) -> tuple[ClusterModelSettings, list[str]]:
    """Return the cluster with so many of its nodes, and sentences on what that changes.

    Groups shrink in proportion, each has a node at least; limits in nodes, slots, GPUs and memory
    shrink likewise. Raises ConfigError where there are no groups, or none would shrink.
    """
    sizes = nodes_of(model)
    total = sum(sizes.values())
    if not total:
        raise ConfigError(
            "there are no nodes to scale", resolution="Give a file that describes nodes."
        )
    wanted = max(1, floor(total * share + Fraction(1, 2)))
    if wanted >= total:
        raise ConfigError(
            f"the site has {total} nodes, and {wanted} are wanted of it",
            resolution="Leave the scale out, or choose fewer nodes.",
        )
    left = _apportioned(sizes, wanted)
    now = sum(left.values())
    ratio = Fraction(now, total)
    groups = {
        name: group.model_copy(update={"nodes": left[name]}) for name, group in model.groups.items()
    }
    kinds = ("partitions", "accounts", "users", "qos", "reservations")
    shrunk = {
        kind: {name: _shrunk(one, ratio) for name, one in getattr(model, kind).items()}
        for kind in kinds
    }
    found = model.model_copy(update={"groups": groups, **shrunk})
    return found, list(_sentences(model, found, wanted))


def nodes_of(model: ClusterModelSettings) -> dict[str, int]:
    """Return the number of nodes of each group of a site's cluster, where none is searched."""
    return {name: group.nodes for name, group in model.groups.items() if type(group.nodes) is int}


def slots_of(model: ClusterModelSettings) -> int:
    """Return the slots of a site's cluster."""
    return sum(count * model.groups[name].slots for name, count in nodes_of(model).items())


def _apportioned(sizes: dict[str, int], wanted: int) -> dict[str, int]:
    """Return `wanted` nodes shared among groups by largest remainders, each having one at least."""
    ratio = Fraction(wanted, sum(sizes.values()))
    left = {name: max(1, floor(size * ratio)) for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: left[name] - sizes[name] * ratio)
    for name in by_remainder[: max(0, wanted - sum(left.values()))]:
        left[name] += 1
    return left


def _shrunk(one: Model, ratio: Fraction) -> Model:
    """Return settings with limits that are so much smaller, but not 0 unless they were."""
    update: dict[str, object] = {}
    for name, value in one:
        if name not in OF_SIZE:
            continue
        if isinstance(value, Settings):
            update[name] = _shrunk(value, ratio)
        elif isinstance(value, int) and value:
            update[name] = max(1, floor(value * ratio + Fraction(1, 2)))
    return one.model_copy(update=update)


def _sentences(
    whole: ClusterModelSettings, small: ClusterModelSettings, wanted: int
) -> Iterator[str]:
    sizes = nodes_of(whole)
    left = nodes_of(small)
    slots = slots_of(whole)
    total = sum(left.values())
    yield (
        f"scaled from {sum(sizes.values())} nodes and {slots} slots to {total} nodes and "
        f"{slots_of(small)} slots"
    )
    if total > wanted:
        yield f"{total} nodes instead of {wanted}, since each group has one at least"
    shares = {
        name: Fraction(left[name], total) * sum(sizes.values()) / sizes[name] for name in left
    }
    if odd := [
        name for name, share in shares.items() if not Fraction(4, 5) < share < Fraction(5, 4)
    ]:
        shown = ", ".join(
            f"{name} ({float(100 * Fraction(sizes[name], sum(sizes.values()))):.3g} % of the nodes "
            f"became {float(100 * Fraction(left[name], total)):.3g} %)"
            for name in odd[:5]
        )
        yield f"whole nodes distort the share of {shown}"
    yield (
        "limits in nodes, slots, GPUs and memory are scaled likewise, to 1 at least; those in jobs "
        "and in time stay as they are"
    )
    yield (
        f"give a log of this site workload.wide=scale workload.machine={slots}: job widths then "
        "are scaled likewise, to 1 slot at least, so narrow jobs become relatively wide, jobs of "
        "whole nodes share nodes, and what jobs ask for in nodes, memory and GPUs is not scaled"
    )
