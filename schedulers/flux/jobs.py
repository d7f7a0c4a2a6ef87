"""Jobs under Flux: their jobspecs, and what Flux says of them."""

import json
import re
from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

from schedulers.base import FinalState, NativeTimes, ParseError, Topology, version_in
from schedulers.commands import dependency_kind
from schedulers.fitting import fewest_equal_nodes
from schedulers.flux import queues
from schedulers.flux.submission import name_of

if TYPE_CHECKING:
    from campaign.core.jobs import Job

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# Flux numbers its states and results by powers of two.
_WAITING = {1: "NEW", 2: "DEPEND", 4: "PRIORITY", 8: "SCHED"}
_RESULTS = {1: "COMPLETED", 2: "FAILED", 4: "CANCELED", 8: "TIMEOUT"}
NODE_FAILURE = "node failure"
"""How the note of the exception begins that ends the jobs of a lost node."""
_FINAL_STATES: dict[str, FinalState] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    f"FAILED: {NODE_FAILURE}": "node_lost",
    "CANCELED": "cancelled",
    "TIMEOUT": "timeout",
}


def jobspec(job: "Job", topology: Topology, payload: str) -> bytes:
    """Return a jobspec that runs the shell command `payload` once on each of the job's nodes.

    It has the fewest nodes that hold equal parts of the job, and is of version 1 (RFC 25), which
    knows but one kind of slot. So each node gives the same number of cores and GPUs: a job whose
    width its nodes don't divide gets a core more on some of them than it asked for. The time limit
    is GRACE_S seconds more than what was asked for.
    """
    nodes = fewest_equal_nodes(job, topology)
    partition = topology.model.partition(job.traits.partition)
    node = _node(nodes, ceil(job.width / nodes), ceil((job.traits.gpus or 0) / nodes))
    if job.traits.exclusive or (partition and partition.exclusive):
        node["exclusive"] = True
    wishes = {
        "queue": queues.queue_of(job, topology),
        "constraints": queues.constraint(job, topology),
        "dependencies": _dependencies(job),
    }
    spec = _spec(name_of(job.job_id), node, payload, job.requested_s + queues.GRACE_S, wishes)
    if (urgency := queues.urgency(job, topology.model)) != queues.URGENCY:
        # Flux itself takes no notice of this: whoever submits does.
        spec["attributes"]["user"] = {"urgency": urgency}
    return json.dumps(spec, sort_keys=True).encode()


def smoke_test(topology: Topology) -> bytes:
    """Return a jobspec that does nothing on every compute node."""
    everywhere = _node(len(topology.compute), 1, 0)
    wishes = {"queue": queues.WHOLE if topology.model.partitions else None}
    spec = _spec("smoke-test", everywhere, "true", 60.0, wishes)
    return json.dumps(spec, sort_keys=True).encode()


def _node(count: int, cores: int, gpus: int) -> dict[str, Any]:
    parts = [{"type": "core", "count": cores}]
    if gpus:
        parts.append({"type": "gpu", "count": gpus})
    slot = {"type": "slot", "count": 1, "label": "task", "with": parts}
    return {"type": "node", "count": count, "with": [slot]}


def _dependencies(job: "Job") -> list[dict[str, str]] | None:
    """Return the job's dependencies (RFC 26); others are called by their names until it is
    submitted."""
    scheme = dependency_kind(job)
    return [{"scheme": scheme, "value": name_of(other)} for other in job.traits.after or ()] or None


def _spec(
    name: str, node: dict[str, Any], command: str, limit_s: float, wishes: dict[str, Any]
) -> dict[str, Any]:
    told = {key: value for key, value in wishes.items() if value is not None}
    return {
        "version": 1,
        "resources": [node],
        "tasks": [
            {"command": ["/bin/bash", "-c", command], "slot": "task", "count": {"per_slot": 1}}
        ],
        "attributes": {
            "system": {
                "duration": limit_s,
                "cwd": "/",
                "environment": {"PATH": "/usr/bin:/bin"},
                "job": {"name": name},
                # Payloads sleep: where they may run is nothing to arrange.
                "shell": {"options": {"cpu-affinity": "off", "gpu-affinity": "off"}},
                **told,
            }
        },
    }


def parse_submit(text: str) -> str:
    """Return the job's id as a decimal number, from what `flux job submit` prints.

    That is in base 58 (RFC 19), with f or ƒ before the digits.
    """
    match = re.fullmatch(rf"[fƒ]([{_BASE58}]+)", text.strip())
    if match is None:
        raise ParseError("the answer of flux job submit", text)
    number = 0
    for digit in match.group(1):
        number = number * len(_BASE58) + _BASE58.index(digit)
    return str(number)


def parse_pending(text: str) -> dict[str, str]:
    """Return the jobs of `flux job list`, a JSON object a line, by id.

    A job that waits has the state in which it does, and a reason if any is known.
    """
    found = {}
    for job, line in _jobs(text):
        state = _WAITING.get(job["state"], "")
        note = (job.get("annotations") or {}).get("sched") or {}
        if not isinstance(note, dict):
            raise ParseError("a line of flux job list", line)
        found[str(job["id"])] = (
            f"{state}: {note['reason_pending']}" if state and "reason_pending" in note else state
        )
    return found


def parse_accounting(text: str) -> dict[str, NativeTimes]:
    """Return the ended jobs of `flux job list-inactive`, a JSON object a line, by id.

    Times are those of the job's event log.
    """
    return {str(job["id"]): _ended(job, line) for job, line in _jobs(text)}


def _ended(job: dict[str, Any], line: str) -> NativeTimes:
    result = _RESULTS.get(job.get("result", 0))
    start, end = (job.get(key) for key in ("t_run", "t_cleanup"))
    if result is None or not all(
        time is None or isinstance(time, float | int) for time in (start, end)
    ):
        raise ParseError("a line of flux job list-inactive", line)
    lost = result == "FAILED" and str(job.get("exception_note", "")).startswith(NODE_FAILURE)
    return NativeTimes(str(job["id"]), f"{result}: {NODE_FAILURE}" if lost else result, start, end)


def _jobs(text: str) -> Iterator[tuple[dict[str, Any], str]]:
    # Not splitlines, which also splits at characters that may stand inside a JSON text.
    for line in filter(str.strip, text.split("\n")):
        try:
            job = json.loads(line)
            if not isinstance(job["id"], int) or not isinstance(job["state"], int):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise ParseError("a line of flux job list", line) from None
        yield job, line


def final_state(state: str) -> FinalState:
    """Return how a job ended."""
    found = _FINAL_STATES.get(state)
    if found is None:
        raise ParseError("the result of an ended job", state)
    return found


def parse_version(text: str) -> str:
    """Return `0.88.0` from the line `libflux-core: 0.88.0` of `flux version`, or the text."""
    return version_in(text, r"^libflux-core:\s+(\S+)$")
