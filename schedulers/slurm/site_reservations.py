"""Reservations, from what `scontrol show reservation` prints."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from campaign.core.errors import ConfigError
from schedulers.slurm.conf_file import ConfPair, content_of
from schedulers.slurm.hostlist import expanded
from schedulers.slurm.site_notes import NOTHING, Notes, is_name, pairs_of

BLOCK = "ReservationName="
EMPTY = "no reservations"
FIELD = re.compile(r"([A-Za-z]+)=(\S*)")
UNDERSTOOD = frozenset(
    "reservationname starttime endtime nodes nodecnt users accounts flags".split()  # noqa: SIM905
)
DECIDE = frozenset(
    "features partitionname groups licenses burstbuffer maxstartdelay qos".split()  # noqa: SIM905
)
HARMLESS = frozenset({"spec_nodes", "all_nodes", "ignore_jobs", "force_start", "user_del"})
LEAST_S = 60
MOST_S = 316_224_000


def read_reservations(
    file: Path,
    begin: datetime | None,
    groups: Mapping[str, Collection[str]],
    people: Mapping[str, Collection[str]],
    notes: Notes,
) -> dict[str, dict[str, Any]]:
    """Return the reservations, as settings of the cluster by name.

    Their times count from `begin`, where it isn't given from the first one's start. `groups` has
    each group's nodes, `people` the known accounts and users. Raises ConfigError for what is no
    such list.
    """
    found: dict[str, dict[str, Any]] = {}
    blocks = _blocks(file, notes)
    starts = [start for block in blocks if (start := _time(block.get("starttime"), notes))]
    if begin is None and starts:
        begin = min(starts)
        notes.say(f"reservations count from {begin}, when the first one begins: give --begin")
    for block in blocks:
        name = block["reservationname"]
        start = _time(block.get("starttime"), notes)
        end = _time(block.get("endtime"), notes)
        if start is None or end is None or begin is None or not is_name(name.value):
            notes.add(name, "refused", "no times, or no name that can be kept")
            continue
        start_s = max(0.0, (start - begin).total_seconds())
        duration_s = min(MOST_S, (end - begin).total_seconds() - start_s)
        if duration_s < LEAST_S or start_s > MOST_S:
            notes.add(name, "fixed", "left out: it has ended when the workload begins, or soon")
            continue
        found[name.value] = {
            "start_s": start_s,
            "duration_s": duration_s,
            **_nodes(block, groups, notes),
            **_users(block, people, notes),
        }
    return found


def _blocks(file: Path, notes: Notes) -> list[dict[str, ConfPair]]:
    """Return the pairs of each reservation, and note a first verdict on each."""
    blocks: list[dict[str, ConfPair]] = []
    for number, line in enumerate(content_of(file).splitlines(), start=1):
        text = line.strip()
        if not text or text.lower().startswith(EMPTY):
            continue
        if text.startswith(BLOCK):
            blocks.append({})
        fields = dict(FIELD.findall(text))
        if not blocks or not fields:
            raise ConfigError(
                f"{file}, line {number}: no reservation: {text[:80]!r}",
                resolution="Give what scontrol show reservation prints.",
            )
        for key, pair in pairs_of(file, number, fields).items():
            blocks[-1][key] = pair
            if key in UNDERSTOOD:
                notes.add(pair, "cluster")
            else:
                decides = key in DECIDE and pair.value.lower() not in NOTHING
                notes.add(pair, "missing" if decides else "other")
    return blocks


def _time(pair: ConfPair | None, notes: Notes) -> datetime | None:
    if pair is None:
        return None
    try:
        # A site's times have no zone, and count against one another.
        return datetime.fromisoformat(pair.value).replace(tzinfo=None)
    except ValueError:
        notes.add(pair, "refused", "not a time as 2026-01-31T08:00:00")
        return None


def _nodes(
    block: Mapping[str, ConfPair], groups: Mapping[str, Collection[str]], notes: Notes
) -> dict[str, Any]:
    pair = block.get("nodes")
    there = {node for nodes in groups.values() for node in nodes}
    try:
        listed = expanded(pair.value) if pair and pair.value.lower() not in NOTHING else []
    except ValueError as error:
        if pair:
            notes.add(pair, "refused", str(error))
        listed = []
    names = {name for name in listed if name in there}
    count = len(names) or notes.whole(block.get("nodecnt"), 0, len(there)) or None
    if not names:
        return {"nodes": count}
    own = [group for group, nodes in groups.items() if names & set(nodes)]
    if len(own) > 1 and pair:
        notes.add(pair, "fixed", f"so many nodes of any of {', '.join(own[:5])}")
        return {"nodes": count}
    return {"nodes": count, "group": own[0]}


def _users(
    block: Mapping[str, ConfPair], people: Mapping[str, Collection[str]], notes: Notes
) -> dict[str, Any]:
    who: dict[str, Any] = {}
    for kind in ("users", "accounts"):
        pair = block.get(kind)
        denied = pair is not None and pair.value.startswith("-")
        if pair and denied:
            notes.add(pair, "missing", "who may not use it is not expressed here")
        elif pair:
            who[kind] = notes.known(pair, people[kind], "no file of --accounts")
    flags = block.get("flags")
    words = [word.lower() for word in flags.value.split(",")] if flags else []
    left = [word for word in words if word not in {"maint", *HARMLESS, *NOTHING}]
    if flags and left:
        notes.add(flags, "missing", f"{', '.join(left)}: not expressed here")
    maintenance = "maint" in words
    if not maintenance and not any(who.values()):
        notes.add(block["reservationname"], "fixed", "nobody may use it here: kept as maintenance")
        maintenance = True
    return {**who, "maintenance": maintenance}
