"""The nodes of a site's slurm.conf: NodeName, NodeSet and DownNodes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from schedulers.slurm.conf_file import ConfPair
from schedulers.slurm.hostlist import MOST_NODES, expanded
from schedulers.slurm.site_entries import Entry, LineKeys, entries
from schedulers.slurm.site_gres import Gpus, gpus_of
from schedulers.slurm.site_notes import Notes

NODE = LineKeys(
    frozenset(
        """
        nodename cpus procs sockets socketsperboard boards corespersocket threadspercore realmemory
        gres feature features state corespeccount memspeclimit
        """.split()  # noqa: SIM905 - a list would take a line for each
    ),
    frozenset({"weight", "tmpdisk", "cpuspeclist", "topology", "cpubind", "restrictedcorespergpu"}),
)
SET = LineKeys(frozenset({"nodeset", "nodes", "feature"}), frozenset())
DOWN = LineKeys(frozenset({"downnodes", "state"}), frozenset())
ABSENT = ("down", "drain", "fail", "future")
"""States in which nodes take no jobs, or aren't there, by how they begin."""
MOST_SLOTS = 1024
MOST_MIB = 67_108_864
MOST_PARTS = 65_535


@dataclass(frozen=True)
class Shape:
    """What nodes must have in common to be of one group."""

    slots: int
    memory_mib: int | None
    gpus: int
    gpu_type: str | None
    features: tuple[str, ...]


@dataclass(frozen=True)
class SiteNodes:
    """The nodes that take jobs, by name; those that are down; sets of nodes, by name."""

    shapes: Mapping[str, Shape]
    absent: Collection[str]
    sets: Mapping[str, tuple[str, ...]]


def read_nodes(pairs: list[ConfPair], notes: Notes) -> tuple[SiteNodes, dict[str, Gpus]]:
    """Return the nodes of slurm.conf, and their GPUs."""
    shapes: dict[str, Shape] = {}
    gpus: dict[str, Gpus] = {}
    absent: set[str] = set()
    for entry in entries(pairs, "nodename", NODE, notes):
        names = _named(entry, notes)
        if twice := [name for name in names if name in shapes or name in absent]:
            notes.add(entry.head, "refused", f"{twice[0]} is described twice")
        names = [name for name in names if name not in shapes and name not in absent]
        if len(shapes) + len(names) > MOST_NODES:
            notes.add(entry.head, "refused", f"more than {MOST_NODES} nodes")
            continue
        state = entry.pair("state")
        if state and state.value.lower().startswith(ABSENT):
            notes.add(state, "fixed", f"{_nodes(len(names))} left out")
            absent.update(names)
            continue
        own = gpus_of(entry.pair("gres"), notes)
        shapes |= dict.fromkeys(names, _shape(entry, own, notes))
        gpus |= dict.fromkeys(names, own)
    for entry in entries(pairs, "downnodes", DOWN, notes):
        down = [name for name in _named(entry, notes) if name in shapes]
        absent.update(down)
        for name in down:
            del shapes[name]
            del gpus[name]
        notes.add(entry.head, "fixed", f"{_nodes(len(down))} left out")
    return SiteNodes(shapes, absent, _sets(pairs, shapes, notes)), gpus


def listed(pair: ConfPair | None, nodes: SiteNodes, notes: Notes) -> list[str]:
    """Return the nodes of a `Nodes=`, which may name sets and ALL, in the order of the file."""
    if pair is None:
        return []
    try:
        names = expanded(pair.value)
    except ValueError as error:
        notes.add(pair, "refused", str(error))
        return []
    found: set[str] = set()
    for name in names:
        if name.upper() == "ALL":
            found.update(nodes.shapes)
        elif name in nodes.sets:
            found.update(nodes.sets[name])
        elif name in nodes.shapes:
            found.add(name)
        elif name not in nodes.absent:
            notes.add(pair, "refused", f"no NodeName describes {name}")
    return [name for name in nodes.shapes if name in found]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _named(entry: Entry, notes: Notes) -> list[str]:
    try:
        return list(dict.fromkeys(expanded(entry.head.value)))
    except ValueError as error:
        notes.add(entry.head, "refused", str(error))
        return []


def _shape(entry: Entry, gpus: Gpus, notes: Notes) -> Shape:
    threads = notes.whole(entry.pair("threadspercore"), 1, MOST_PARTS) or 1
    slots = notes.whole(entry.pair("cpus", "procs"), 1, MOST_PARTS) or _product(entry, notes)
    slots -= threads * (notes.whole(entry.pair("corespeccount"), 0, MOST_PARTS) or 0)
    if not 1 <= slots <= MOST_SLOTS:
        notes.add(entry.head, "fixed", f"{slots} CPUs of a node, [1 .. {MOST_SLOTS}] can be kept")
        slots = min(MOST_SLOTS, max(1, slots))
    memory = notes.whole(entry.pair("realmemory"), 1, MOST_MIB)
    if memory is not None:
        memory -= notes.whole(entry.pair("memspeclimit"), 0, memory - 1) or 0
    features = notes.names(entry.pair("features", "feature"))
    return Shape(slots, memory, gpus.count, gpus.type, tuple(sorted(features)))


def _product(entry: Entry, notes: Notes) -> int:
    """Return the CPUs of a node that its sockets, cores and threads make."""
    keys = ["corespersocket", "threadspercore"]
    keys += ["sockets"] if entry.pair("sockets") else ["boards", "socketsperboard"]
    product = 1
    for key in keys:
        product *= notes.whole(entry.pair(key), 1, MOST_PARTS) or 1
    return product


def _sets(
    pairs: Iterable[ConfPair], shapes: Mapping[str, Shape], notes: Notes
) -> dict[str, tuple[str, ...]]:
    sets: dict[str, tuple[str, ...]] = {}
    for entry in entries(pairs, "nodeset", SET, notes):
        plain = SiteNodes(shapes, (), {})
        names = listed(entry.pair("nodes"), plain, notes)
        wanted = set(notes.names(entry.pair("feature")))
        names += [name for name, shape in shapes.items() if wanted & set(shape.features)]
        sets[entry.head.value] = tuple(dict.fromkeys(names))
    return sets
