"""The partitions of a site's slurm.conf, and which of a partition's jobs give way."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from campaign.schema.cluster import PreemptMode
from campaign.schema.settings import Scalar
from schedulers.slurm.conf_file import ConfPair
from schedulers.slurm.passed_on import read_value
from schedulers.slurm.site_entries import Entry, LineKeys, beside_described, entries
from schedulers.slurm.site_nodes import SiteNodes, listed
from schedulers.slurm.site_notes import Notes, is_name

PARTITION = LineKeys(
    frozenset(
        """
        partitionname nodes default maxtime defaulttime maxnodes minnodes prioritytier
        priorityjobfactor priority allowaccounts allowqos qos oversubscribe shared preemptmode state
        """.split()  # noqa: SIM905 - a list would take a line for each
    ),
    frozenset(
        """
        allocnodes allowgroups alternate cpubind defcpupergpu defmempercpu defmempergpu
        defmempernode denyaccounts denyqos exclusivetopo exclusiveuser gracetime jobdefaults lln
        maxcpuspernode maxcpuspersocket maxmempercpu maxmempernode overtimelimit reqresv
        rootonly selecttypeparameters suspendtime topology tresbillingweights
        """.split()  # noqa: SIM905 - a list would take a line for each
    ),
)
PASSED_ON = frozenset(
    """
    defmempercpu defmempernode exclusiveuser gracetime lln maxcpuspernode maxcpuspersocket
    maxmempercpu maxmempernode overtimelimit
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""Keys that every trial's partition gets as they stand."""
MOST = 65_533
WORDS: Mapping[str, PreemptMode] = {
    "off": "off",
    "requeue": "requeue",
    "cancel": "cancel",
    "suspend": "suspend",
}
HARMLESS = frozenset({"no", "all", "unlimited", "infinite"})
"""Values by which a key that would decide something decides nothing."""


@dataclass(frozen=True)
class Preemption:
    """What PreemptType and PreemptMode of the whole cluster say."""

    by: str = "none"
    mode: PreemptMode = "off"


@dataclass(frozen=True)
class SitePartition:
    """A partition's settings but its groups, its nodes, and keys of its line that are passed on."""

    settings: Mapping[str, Any]
    nodes: tuple[str, ...]
    passed_on: Mapping[str, Scalar]


def read_preemption(pairs: Iterable[ConfPair], notes: Notes) -> Preemption:
    """Return how jobs make way; what can't be kept of it is noted."""
    last = {pair.key.lower(): pair for pair in beside_described(pairs)}
    kind = last.get("preempttype")
    mode = last.get("preemptmode")
    by = kind.value.lower().rpartition("/")[2] if kind else "none"
    if kind:
        known = by in ("none", "partition_prio", "qos")
        notes.add(kind, "cluster" if known else "missing", "" if known else "unknown here")
    if mode is None:
        return Preemption(by)
    notes.add(mode, "cluster")
    return Preemption(by, preempt_mode(mode, notes) or "off")


def preempt_mode(pair: ConfPair, notes: Notes) -> PreemptMode | None:
    """Return what PreemptMode says of jobs; None where it leaves that to the whole cluster."""
    words = [word.strip().lower() for word in pair.value.split(",")]
    if left := [word for word in words if word not in (*WORDS, "gang", "cluster")]:
        notes.add(pair, "missing", f"{', '.join(left)} is not expressed here")
    elif "gang" in words and words != ["gang"] and "suspend" not in words:
        notes.add(pair, "missing", "GANG: jobs don't take turns here")
    return next((WORDS[word] for word in words if word in WORDS), None)


def whole_nodes(pairs: Iterable[ConfPair], notes: Notes) -> bool:
    """Return whether the site gives jobs whole nodes: select/linear, in words of partitions."""
    last = {pair.key.lower(): pair for pair in beside_described(pairs)}
    select = last.get("selecttype")
    if select is None or select.value.lower() != "select/linear":
        return False
    notes.add(select, "cluster", "a job has its nodes for itself")
    return True


def read_partitions(
    pairs: list[ConfPair],
    nodes: SiteNodes,
    people: Mapping[str, Collection[str]],
    preemption: Preemption,
    notes: Notes,
) -> dict[str, SitePartition]:
    """Return the partitions that take jobs; `people` has the known accounts and qos."""
    found: dict[str, SitePartition] = {}
    default: Entry | None = None
    whole = whole_nodes(pairs, notes)
    for entry in entries(pairs, "partitionname", PARTITION, notes):
        name = entry.head.value
        if why := _left_out(entry, found):
            notes.add(entry.head, "refused" if name in found else "fixed", why)
            continue
        own = listed(entry.pair("nodes"), nodes, notes)
        if not own:
            notes.add(entry.head, "fixed", "left out: it has no nodes")
            continue
        _harmless(entry, notes)
        settings = {
            **_limits(entry, notes),
            **_rights(entry, people, notes),
            "exclusive": _exclusive(entry, notes) or whole,
            "preempt": _preempt(entry, preemption, notes),
        }
        found[name] = SitePartition(settings, tuple(own), _passed_on(entry, notes))
        if entry.text("default") == "yes":
            default = entry
    if default is None and found:
        notes.say(f"no partition is the default: jobs that name none go to {next(iter(found))}")
    if default is not None:
        name = default.head.value
        found[name] = replace(found[name], settings={**found[name].settings, "default": True})
    return found


def _left_out(entry: Entry, found: Collection[str]) -> str:
    """Return why a partition isn't kept; nothing where it is."""
    if entry.head.value in found:
        return "it is described twice"
    if not is_name(entry.head.value):
        return "left out: no name that can be kept"
    if entry.text("state", "up") != "up":
        return "left out: its state is not UP"
    return ""


def _limits(entry: Entry, notes: Notes) -> dict[str, Any]:
    most_s = notes.duration_s(entry.pair("maxtime"))
    default_s = notes.duration_s(entry.pair("defaulttime"))
    most = notes.whole(entry.pair("maxnodes"), 1, MOST)
    fewest = notes.whole(entry.pair("minnodes"), 0, MOST) or None
    if most_s is not None and default_s is not None and default_s > most_s:
        why = f"none for {entry.head.value}: longer than its MaxTime"
        notes.add(entry.values["defaulttime"], "fixed", why)
        default_s = None
    if most is not None and fewest is not None and fewest > most:
        why = f"none for {entry.head.value}: more than its MaxNodes"
        notes.add(entry.values["minnodes"], "fixed", why)
        fewest = None
    old = entry.pair("priority")
    ranks = {
        "priority_tier": notes.whole(entry.pair("prioritytier") or old, 0, MOST),
        "priority_factor": notes.whole(entry.pair("priorityjobfactor") or old, 0, MOST),
    }
    return {
        "max_time_s": most_s,
        "default_time_s": default_s,
        "max_nodes": most,
        "min_nodes": fewest,
        **{name: rank for name, rank in ranks.items() if rank is not None},
    }


def _rights(entry: Entry, people: Mapping[str, Collection[str]], notes: Notes) -> dict[str, Any]:
    def known(key: str, kind: str) -> list[str]:
        return notes.known(entry.pair(key), people[kind], "no file of --accounts")

    qos = known("qos", "qos")
    return {
        "allow_accounts": known("allowaccounts", "accounts"),
        "allow_qos": known("allowqos", "qos"),
        "qos": qos[0] if qos else None,
    }


def _exclusive(entry: Entry, notes: Notes) -> bool:
    pair = entry.pair("oversubscribe", "shared")
    word = pair.value.lower() if pair else "no"
    if pair and word not in ("no", "exclusive"):
        notes.add(pair, "missing", "a slot has one job at a time here")
    return word == "exclusive"


def _preempt(entry: Entry, cluster: Preemption, notes: Notes) -> PreemptMode:
    own = entry.pair("preemptmode")
    mode = preempt_mode(own, notes) if own else None
    if cluster.by != "partition_prio":
        return "off"
    return cluster.mode if mode is None else mode


def _harmless(entry: Entry, notes: Notes) -> None:
    for key in PARTITION.decide:
        if entry.text(key) in HARMLESS:
            notes.add(entry.values[key], "other")


def _passed_on(entry: Entry, notes: Notes) -> dict[str, Scalar]:
    """Return the keys of a partition's line that say something and are passed on."""
    found: dict[str, Scalar] = {}
    for key in sorted(PASSED_ON):
        pair = entry.values.get(key)
        if pair is None or pair.value.lower() in HARMLESS:
            continue
        if re.fullmatch(r"[\w.:,/%+-]{1,200}", pair.value, re.ASCII):
            notes.add(pair, "passed")
            found[pair.key] = read_value(pair.value)
        else:
            notes.add(pair, "refused", "no value of one word")
    return found
