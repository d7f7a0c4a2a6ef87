"""Limits as sacctmgr writes them: trackable resources, numbers of jobs, and times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from schedulers.slurm.conf_file import ConfPair
from schedulers.slurm.site_notes import ENDLESS, Notes

MIB = {"": 1.0, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2, "p": 1024.0**3}
MOST = 10**12
Scope = Literal["per_job", "in_all", "per_user", "per_account"]
NAMES = {"cpu": "max_slots", "node": "max_nodes", "gres/gpu": "max_gpus", "mem": "max_memory_mib"}


@dataclass(frozen=True)
class SlurmLimit:
    """Which limit a key sets: whose, and which one; None for one of trackable resources."""

    scope: Scope
    field: str | None = None


def limits_of(
    pairs: Mapping[str, ConfPair], meanings: Mapping[str, SlurmLimit], notes: Notes
) -> dict[str, dict[str, Any]]:
    """Return the limits that pairs of known meaning set, by scope and name."""
    found: dict[str, dict[str, Any]] = {}
    for key, limit in meanings.items():
        pair = pairs.get(key)
        if pair is None or not pair.value:
            continue
        notes.add(pair, "cluster")
        below = found.setdefault(limit.scope, {})
        least = 1 if limit.scope == "per_job" else 0
        if limit.field is None:
            below |= _resources(pair, least, notes)
        elif limit.field == "max_time_s":
            below |= _some(limit.field, notes.duration_s(pair))
        else:
            below |= _some(limit.field, notes.whole(pair, least, MOST))
    return {scope: limits for scope, limits in found.items() if limits}


def _resources(pair: ConfPair, least: int, notes: Notes) -> dict[str, Any]:
    """Return the limits in `cpu=100,mem=200G,gres/gpu=8`."""
    found: dict[str, Any] = {}
    left = []
    for part in filter(None, pair.value.split(",")):
        key, _, text = part.partition("=")
        name = NAMES.get(key.strip().lower())
        if text.strip().lower() in ENDLESS:
            continue
        value = _amount(text.strip(), unit=name == "max_memory_mib")
        lowest = 0 if name == "max_gpus" else least
        if name is None or value is None or not lowest <= value <= MOST:
            left.append(part)
        else:
            found[name] = value
    if left:
        notes.add(pair, "missing", f"{', '.join(left)}: not expressed here")
    return found


def _amount(text: str, *, unit: bool) -> int | None:
    letter = text[-1:].lower()
    factor = MIB.get(letter) if unit and letter.isalpha() else 1.0
    digits = text[:-1] if letter.isalpha() else text
    if factor is None or not (digits.isascii() and digits.isdecimal()) or len(digits) > 15:
        return None
    return round(int(digits) * factor)


def _some(name: str, value: float | None) -> dict[str, Any]:
    return {} if value is None else {name: value}
