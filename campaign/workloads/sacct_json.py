"""Turns `sacct --json` into the columns of `sacct -P`: one reader understands both.

Fields are plain values or, since Slurm 23.02, objects with `set`, `infinite` and `number`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from campaign.core.errors import WorkloadError
from campaign.workloads.budgets import Budget, check_json
from campaign.workloads.delimited import TextColumns

NAMES = {
    "User": "user",
    "Group": "group",
    "Account": "account",
    "Partition": "partition",
    "QOS": "qos",
    "Constraints": "constraints",
    "SubmitLine": "submit_line",
}
NO_JOB = "entries that are no jobs left out"
Json = Mapping[str, Any]


def looks_like_json(head: bytes) -> bool:
    """Return whether a file that begins with `head` is JSON."""
    return head.lstrip()[:1] in (b"{", b"[")


def json_columns(content: bytes, *, file: Path, budget: Budget) -> TextColumns:
    """Return the columns that `sacct -P` would have written.

    Raises WorkloadError for what is no such JSON, or beyond the budget.
    """
    check_json(content, file, budget)
    try:
        whole = json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise WorkloadError(f"{file} isn't JSON: it is nested too deeply") from None
    except ValueError as error:
        raise WorkloadError(
            f"{file} isn't JSON: {str(error)[:200]}", resolution="Write it anew: sacct --json."
        ) from None
    jobs = whole.get("jobs") if isinstance(whole, dict) else None
    if not isinstance(jobs, list):
        raise WorkloadError(
            f'{file}: no list "jobs" in it', resolution="Write it anew: sacct --json."
        )
    rows = [_row(job) for job in jobs if isinstance(job, dict)]
    if not rows:
        raise WorkloadError(f"{file}: no jobs in it", resolution="Give a log with jobs.")
    columns = {
        name: pa.array([row[name] for row in rows], pa.string()).dictionary_encode()
        for name in rows[0]
    }
    return TextColumns(list(columns), columns, {NO_JOB: len(jobs) - len(rows)})


def _row(job: Json) -> dict[str, str | None]:
    times = _below(job, "time")
    required = _below(job, "required")
    reservation = job.get("reservation")
    row = {name: _text(job.get(key)) for name, key in NAMES.items()}
    return row | {
        "JobID": _job_id(job),
        "JobIDRaw": _number(job.get("job_id")),
        "Reservation": _text(
            reservation.get("name") if isinstance(reservation, dict) else reservation
        ),
        "Submit": _number(times.get("submission")),
        "Start": _number(times.get("start")),
        "End": _number(times.get("end")),
        "ElapsedRaw": _number(times.get("elapsed")),
        "TimelimitRaw": _number(times.get("limit")),
        "ReqCPUS": _number(required.get("CPUs")),
        "AllocNodes": _number(job.get("allocation_nodes")),
        "ReqNodes": _nodes(job),
        "ReqMem": _memory(required),
        "AllocTRES": _resources(job, "allocated"),
        "ReqTRES": _resources(job, "requested"),
        "State": _state(job.get("state")),
    }


def _job_id(job: Json) -> str | None:
    """Return the number as `sacct -P` writes it: of an array's task, or of a component too."""
    array = _below(job, "array")
    heterogeneous = _below(job, "het")
    whole = _number(array.get("job_id"))
    number = _number(job.get("job_id"))
    task = _number(array.get("task_id"))
    if whole not in (None, "0"):
        if task is not None:
            return f"{whole}_{task}"
        waiting = _text(array.get("task"))
        return f"{whole}_[{waiting}]" if waiting else number
    leader = _number(heterogeneous.get("job_id"))
    part = _number(heterogeneous.get("job_offset"))
    return f"{leader}+{part}" if leader not in (None, "0") and part is not None else number


def _state(state: Any) -> str | None:
    current = state.get("current") if isinstance(state, dict) else state
    return _text(current[0] if isinstance(current, list) and current else current)


def _memory(required: Json) -> str | None:
    for key, per in (("memory_per_cpu", "c"), ("memory_per_node", "n")):
        mib = _number(required.get(key))
        if mib not in (None, "0", "UNLIMITED"):
            return f"{mib}M{per}"
    return None


def _nodes(job: Json) -> str | None:
    listed = _below(job, "tres").get("requested")
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and each.get("type") == "node":
            return _number(each.get("count"))
    return None


def _resources(job: Json, kind: str) -> str | None:
    """Return a list of resources as `sacct -P` writes it."""
    listed = _below(job, "tres").get(kind)
    parts = []
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict):
            continue
        named = [_text(each.get(key)) for key in ("type", "name")]
        amount = _number(each.get("count"))
        name = "/".join(part for part in named if part)
        if name and amount is not None and not set(",=") & set(name):
            parts.append(f"{name}={amount}")
    return ",".join(parts) or None


def _below(job: Json, key: str) -> Json:
    value = job.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> str | None:
    """Return a number as text, whether it is plain or an object that may be unset or infinite."""
    if isinstance(value, dict):
        if value.get("infinite") is True:
            return "UNLIMITED"
        value = value.get("number") if value.get("set") is not False else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return str(value)[:100]


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    # JSON may hold halves of characters, which no file can.
    return value.encode("utf-8", errors="replace").decode("utf-8")
