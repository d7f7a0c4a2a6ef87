"""GPUs of nodes: the Gres of slurm.conf, and what gres.conf says of their types."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schedulers.slurm.conf_file import ConfPair
from schedulers.slurm.hostlist import expanded
from schedulers.slurm.site_entries import Entry, LineKeys, entries
from schedulers.slurm.site_notes import NOTHING, Notes, is_name

GPU = "gpu"
MOST_GPUS = 1024
BESIDE = re.compile(r"\([^()]*\)")
COUNT = re.compile(r"(\d{1,6})[KMGTP]?", re.ASCII | re.IGNORECASE)
UNDERSTOOD = LineKeys(
    frozenset({"nodename", "name", "type", "count", "file"}), frozenset({"flags"})
)


@dataclass(frozen=True)
class Gpus:
    """How many GPUs a node has, by type; the type None is unknown."""

    by_type: tuple[tuple[str | None, int], ...] = ()

    @property
    def count(self) -> int:
        """All of them."""
        return sum(count for _, count in self.by_type)

    @property
    def type(self) -> str | None:
        """Their type, if it is one."""
        types = {name for name, _ in self.by_type}
        return types.pop() if len(types) == 1 else None


def gpus_of(pair: ConfPair | None, notes: Notes) -> Gpus:
    """Return the GPUs of a `Gres=gpu:a100:4(S:0),nvme:1`; note what else is in it."""
    if pair is None or pair.value.lower() in NOTHING:
        return Gpus()
    found: Counter[str | None] = Counter()
    left = []
    for part in BESIDE.sub("", pair.value).split(","):
        name, *rest = part.split(":")
        rest = [word for word in rest if word.lower() != "no_consume"]
        count = COUNT.fullmatch(rest[-1]) if rest else None
        kind = rest[0] if rest and not (count and len(rest) == 1) else None
        if name.lower() != GPU or (kind is not None and not is_name(kind)):
            left.append(part)
        else:
            found[kind] += int(count[1]) if count else 1
    if left:
        notes.add(pair, "missing", f"{', '.join(left)}: only GPUs are counted")
    if found.total() > MOST_GPUS:
        notes.add(pair, "refused", f"more than {MOST_GPUS} GPUs")
        return Gpus()
    if len(found) > 1:
        notes.add(pair, "missing", "GPUs of several types count as of none")
    return Gpus(tuple(found.items()))


def typed(gpus: Mapping[str, Gpus], pairs: Iterable[ConfPair], notes: Notes) -> dict[str, Gpus]:
    """Return the GPUs of nodes with the types that gres.conf has of them."""
    said: dict[str, Counter[str | None]] = {}
    kept = list(pairs)
    first = ("nodename", "name")
    strange = False
    for pair in kept:
        if pair.first:
            strange = pair.key.lower() not in first
        if strange:
            notes.add(pair, "other")
    for entry in (entry for kind in first for entry in entries(kept, kind, UNDERSTOOD, notes)):
        _count(entry, gpus, said, notes)
    found = dict(gpus)
    for node, counted in said.items():
        own = gpus[node]
        if own.count != counted.total():
            notes.say("gres.conf counts other GPUs than slurm.conf, whose count is taken")
        elif own.type is None and len(counted) == 1:
            found[node] = Gpus(((next(iter(counted)), own.count),))
    return found


def _count(
    entry: Entry, gpus: Mapping[str, Gpus], said: dict[str, Counter[str | None]], notes: Notes
) -> None:
    """Add what a line of gres.conf says to the GPUs of its nodes."""
    if entry.text("name") != GPU:
        if entry.pair("name"):
            notes.add(entry.head, "missing", "only GPUs are counted")
        return
    named = entry.pair("nodename")
    files = entry.pair("file")
    try:
        nodes = expanded(named.value) if named else [node for node in gpus if gpus[node].count]
        count = len(expanded(files.value)) if files else 1
    except ValueError as error:
        notes.add(entry.head, "refused", str(error))
        return
    if entry.pair("count"):
        count = notes.whole(entry.pair("count"), 0, MOST_GPUS) or 0
    kind = entry.pair("type")
    name = kind.value if kind and is_name(kind.value) else None
    for node in nodes:
        if node in gpus:
            said.setdefault(node, Counter())[name] += count
