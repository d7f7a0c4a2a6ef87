"""Qualities of service, from what `sacctmgr -P show qos` prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from campaign.schema.cluster import QosFlag
from schedulers.slurm.conf_file import ConfPair
from schedulers.slurm.site_limits import SlurmLimit, limits_of
from schedulers.slurm.site_notes import NOTHING, Notes, is_name, pairs_of
from schedulers.slurm.site_partitions import Preemption, preempt_mode
from schedulers.slurm.site_tables import table_rows

LIMITS = {
    "grpjobs": SlurmLimit("in_all", "max_jobs"),
    "grpsubmit": SlurmLimit("in_all", "max_submitted"),
    "grptres": SlurmLimit("in_all"),
    "maxtres": SlurmLimit("per_job"),
    "maxtrespj": SlurmLimit("per_job"),
    "maxwall": SlurmLimit("per_job", "max_time_s"),
    "maxwallpj": SlurmLimit("per_job", "max_time_s"),
    "maxtrespu": SlurmLimit("per_user"),
    "maxjobspu": SlurmLimit("per_user", "max_jobs"),
    "maxsubmitpu": SlurmLimit("per_user", "max_submitted"),
    "maxtrespa": SlurmLimit("per_account"),
    "maxjobspa": SlurmLimit("per_account", "max_jobs"),
    "maxsubmitpa": SlurmLimit("per_account", "max_submitted"),
}
FLAGS: Mapping[str, QosFlag] = {
    "denyonlimit": "deny_on_limit",
    "noreserve": "no_reserve",
    "nodecay": "no_decay",
    "partitionmaxnodes": "partition_max_nodes",
    "partitionminnodes": "partition_min_nodes",
    "partitiontimelimit": "partition_time_limit",
}
UNDERSTOOD = frozenset({"name", "priority", "preempt", "preemptmode", "flags", "usagefactor"})
HARMLESS = frozenset({"description", "id"})
NO_TIME = "00:00:00"
MOST_RANK = 4_294_967_293
MOST_FACTOR = 1000


def read_qos(
    file: Path, lines: list[str], preemption: Preemption, notes: Notes
) -> dict[str, dict[str, Any]]:
    """Return the qualities of service of a table, as settings of the cluster by name."""
    found: dict[str, dict[str, Any]] = {}
    wanted: dict[str, ConfPair] = {}
    for number, row in table_rows(file, lines):
        pairs = pairs_of(file, number, row)
        for key, pair in pairs.items():
            if key in UNDERSTOOD:
                notes.add(pair, "cluster")
            elif pair.value.strip().lower() not in NOTHING | {NO_TIME}:
                notes.add(pair, "other" if key in HARMLESS else "missing")
        name = pairs["name"].value.strip()
        if not is_name(name) or name in found:
            notes.add(pairs["name"], "refused", "no name that can be kept, or one that was there")
            continue
        found[name] = _settings(pairs, preemption, notes)
        if "preempt" in pairs:
            wanted[name] = pairs["preempt"]
    for name, pair in wanted.items():
        if preemption.by != "qos":
            if pair.value:
                notes.add(pair, "other", "PreemptType is not preempt/qos")
            continue
        below = notes.known(pair, found, "no line")
        found[name]["preempts"] = [one for one in below if one != name]
    return found


def _settings(
    pairs: Mapping[str, ConfPair], preemption: Preemption, notes: Notes
) -> dict[str, Any]:
    settings: dict[str, Any] = dict(limits_of(pairs, LIMITS, notes))
    rank = notes.whole(pairs.get("priority"), 0, MOST_RANK)
    if rank is not None:
        settings["priority"] = rank
    if (factor := pairs.get("usagefactor")) is not None and factor.value:
        settings |= _factor(factor, notes)
    if (flags := pairs.get("flags")) is not None:
        words = [word.strip() for word in flags.value.split(",") if word.strip()]
        known = [FLAGS[word.lower()] for word in words if word.lower() in FLAGS]
        if left := [word for word in words if word.lower() not in FLAGS]:
            notes.add(flags, "missing", f"{', '.join(left)}: not expressed here")
        settings["flags"] = list(dict.fromkeys(known))
    if preemption.by == "qos":
        mode = pairs.get("preemptmode")
        own = preempt_mode(mode, notes) if mode is not None and mode.value else None
        settings["preempt"] = preemption.mode if own is None else own
    return settings


def _factor(pair: ConfPair, notes: Notes) -> dict[str, Any]:
    try:
        factor = float(pair.value)
    except ValueError:
        factor = -1.0
    if not 0 <= factor <= MOST_FACTOR:
        notes.add(pair, "refused", f"not a number from 0 to {MOST_FACTOR}")
        return {}
    return {"usage_factor": factor}
