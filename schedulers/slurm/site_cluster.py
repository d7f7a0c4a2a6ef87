"""Puts together what a site's files say of its cluster."""

import os
from collections.abc import Iterable, Mapping

from campaign.schema.cluster import ClusterModelSettings
from schedulers.site_settings import SiteCluster, SiteFiles
from schedulers.slurm.conf_file import read_conf
from schedulers.slurm.passed_on import PARTITIONS
from schedulers.slurm.site_accounts import read_people
from schedulers.slurm.site_gres import Gpus, typed
from schedulers.slurm.site_nodes import Shape, SiteNodes, read_nodes
from schedulers.slurm.site_notes import Notes, is_name
from schedulers.slurm.site_partitions import SitePartition, read_partitions, read_preemption
from schedulers.slurm.site_reservations import read_reservations

OTHERWISE = "nodes"
"""What a group is called whose nodes' names have nothing in common."""
LONGEST = 30


def read_cluster(files: SiteFiles) -> SiteCluster:
    """Return the cluster that the files describe; ConfigError where one can't be read."""
    notes = Notes()
    pairs = read_conf(files.conf)
    preemption = read_preemption(pairs, notes)
    people = read_people(files.people, preemption, notes)
    known = {"accounts": people.accounts, "qos": people.qos, "users": people.users}
    nodes, gpus = read_nodes(pairs, notes)
    if files.devices is not None:
        nodes = _with_types(nodes, typed(gpus, read_conf(files.devices), notes))
    partitions = read_partitions(pairs, nodes, known, preemption, notes)
    groups = _groups(nodes.shapes, partitions, notes)
    reservations = {}
    if files.reservations is not None:
        reservations = read_reservations(files.reservations, files.begin, groups, known, notes)
    model = {
        "groups": {name: _group(nodes.shapes[own[0]], len(own)) for name, own in groups.items()},
        "partitions": {
            name: {**partition.settings, "groups": _of(partition, groups)}
            for name, partition in partitions.items()
        },
        "accounts": people.accounts,
        "users": people.users,
        "qos": people.qos,
        "reservations": reservations,
    }
    passed_on = {
        f"{PARTITIONS}{name}.{key}": value
        for name, partition in partitions.items()
        for key, value in partition.passed_on.items()
    }
    return SiteCluster(
        ClusterModelSettings.model_validate(model), notes.lines, tuple(notes.sentences), passed_on
    )


def _with_types(nodes: SiteNodes, gpus: Mapping[str, Gpus]) -> SiteNodes:
    shapes = {
        name: Shape(shape.slots, shape.memory_mib, shape.gpus, gpus[name].type, shape.features)
        for name, shape in nodes.shapes.items()
    }
    return SiteNodes(shapes, nodes.absent, nodes.sets)


def _groups(
    shapes: Mapping[str, Shape], partitions: Mapping[str, SitePartition], notes: Notes
) -> dict[str, list[str]]:
    """Return the names of nodes that are equal and in the same partitions, by names of groups."""
    inside: dict[str, list[str]] = {name: [] for name in shapes}
    for name, partition in partitions.items():
        for node in partition.nodes:
            inside[node].append(name)
    alike: dict[tuple[Shape, tuple[str, ...]], list[str]] = {}
    for node, shape in shapes.items():
        alike.setdefault((shape, tuple(inside[node])), []).append(node)
    groups: dict[str, list[str]] = {}
    for (_, where), nodes in alike.items():
        if partitions and not where:
            notes.say(f"nodes in no partition left out: {len(nodes)} as {nodes[0]}")
            continue
        groups[_name(nodes, groups)] = nodes
    return groups


def _name(nodes: Iterable[str], taken: Iterable[str]) -> str:
    """Return a name for a group: what its nodes' names begin with, made unlike the others."""
    common = os.path.commonprefix(list(nodes))  # noqa: RUF071 - characters are meant
    stem = common.rstrip("0123456789-_.")[:LONGEST]
    stem = stem if is_name(stem) else OTHERWISE
    known = set(taken)
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in known:
        number += 1
    return name


def _group(shape: Shape, count: int) -> dict[str, object]:
    return {
        "nodes": count,
        "slots": shape.slots,
        "memory_mib": shape.memory_mib,
        "gpus": shape.gpus,
        "gpu_type": shape.gpu_type,
        "features": list(shape.features),
    }


def _of(partition: SitePartition, groups: Mapping[str, list[str]]) -> list[str]:
    own = set(partition.nodes)
    return [name for name, nodes in groups.items() if nodes[0] in own]
