"""What the API server says of jobs and pods: a table of jobs, then a list of pods, in JSON."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from schedulers._kubernetes.access import curl, url
from schedulers._kubernetes.pods import JOB_LABEL, NAMESPACE, TIMED_OUT
from schedulers.base import FinalState, NativeTimes, ParseError

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
# As a table, the API server sends a line per job instead of the whole objects.
TABLE = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io"
LOST = "pods lost"
OVER_TIME = "over its time limit"
EXITED = "exit code"
_FAILURE = re.compile(rf"(\w+): ({LOST}|{OVER_TIME}|{EXITED} \d+)")
Pod = dict[str, Any]


def jobs_command(jobs_path: str, pods_query: str = "") -> tuple[str, ...]:
    """Return the command that prints a table of all jobs, then a list of pods.

    `pods_query` selects the pods. The two requests go over one connection.
    """
    return curl(
        "-H",
        TABLE,
        url(f"{jobs_path}?includeObject=None"),
        # `--next` begins another request of the same process, without the options of the first.
        "--next",
        *curl(url(PODS + pods_query))[1:],
    )


_NONE_LEFT = """
import json, sys
try:
    states = {str(row["cells"][1]) for row in json.load(sys.stdin)["rows"] or ()}
except (ValueError, KeyError, TypeError, IndexError):
    sys.exit(2)
sys.exit(1 if states - {*sys.argv[1:]} else 0)
"""


def idle_command(jobs_path: str, ended: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that exits 0 where every job's state is one of `ended`, else 1.

    It exits 2 where the API server doesn't answer, or says something else.
    """
    ask = shlex.join(curl("-H", TABLE, url(f"{jobs_path}?includeObject=None")))
    judge = shlex.join(("python3", "-c", _NONE_LEFT, *ended))
    return ("bash", "-c", f"table=$({ask}) || exit 2; {judge} <<<$table")


def parse_pending(text: str, ended: Mapping[str, FinalState | None]) -> dict[str, str]:
    """Return the jobs that aren't done by name, from `jobs_command` with the pending pods.

    `ended` has the states of jobs that are done. A job waits as long as one of its pods has no
    node, for what is said of the first such pod. One that has no pods yet waits too; it has only
    its state to show.
    """
    tables, pods = _documents(text)
    waiting: dict[str, str] = {}
    placed: set[str] = set()
    for pod in pods:
        job = _job_of(pod)
        scheduled = _condition(pod, "PodScheduled")
        if scheduled is not None and scheduled["status"] == "True":
            placed.add(job)
        else:
            said = scheduled or {}
            waiting.setdefault(
                job, str(said.get("message") or said.get("reason") or "not looked at yet")
            )
    found = {}
    for name, state in tables.items():
        if state not in ended:
            found[name] = waiting.get(name) or (
                "no pods yet" if state == "Pending" and name not in placed else ""
            )
    return found


def parse_accounting(text: str, ended: Mapping[str, FinalState | None]) -> dict[str, NativeTimes]:
    """Return the jobs that are done by name, from `jobs_command` with all pods.

    A job starts when its last pod has got a node, and ends when the last one has ended; seconds are
    whole. `ended` says how a job in a state ended, or None where pods must tell: then the state is
    followed by the cause.
    """
    tables, pods = _documents(text)
    of_job: dict[str, list[Pod]] = {name: [] for name in tables}
    for pod in pods:
        of_job.setdefault(_job_of(pod), []).append(pod)
    return {
        name: _ended(
            name, state if ended[state] else f"{state}: {_cause(of_job[name])}", of_job[name]
        )
        for name, state in tables.items()
        if state in ended
    }


def final_state(state: str, ended: Mapping[str, FinalState | None]) -> FinalState:
    """Return how a job ended, by its state and what `parse_accounting` has added to it."""
    known = ended.get(state)
    failure = _FAILURE.fullmatch(state)
    if known:
        return known
    if failure is None or failure[1] not in ended:
        raise ParseError("the state of an ended job", state)
    return "node_lost" if failure[2] == LOST else "timeout" if failure[2] == OVER_TIME else "failed"


def parse_name(text: str) -> str:
    """Return the name of a job that was created, which is all that is printed of it."""
    name = text.strip()
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
        raise ParseError("the name of a created job", text)
    return name


def _ended(name: str, state: str, pods: list[Pod]) -> NativeTimes:
    starts = [
        _seconds(one["lastTransitionTime"])
        for pod in pods
        if (one := _condition(pod, "PodScheduled"))
    ]
    ends = [_seconds(one["finishedAt"]) for pod in pods if (one := _terminated(pod))]
    return NativeTimes(name, state, max(starts, default=None), max(ends, default=None))


def _cause(pods: list[Pod]) -> str:
    """Return why a job failed, as its pods say; those of a lost node are gone."""
    # A pod that was killed because another ran out of time has a code of its own: time comes first.
    codes = [one["exitCode"] for pod in pods if (one := _terminated(pod)) and one["exitCode"]]
    if TIMED_OUT in codes:
        return OVER_TIME
    return f"{EXITED} {codes[0]}" if codes else LOST


def _documents(text: str) -> tuple[dict[str, str], list[Pod]]:
    """Return the state of each job, and the pods; raise ParseError for anything else."""
    jobs: dict[str, str] = {}
    pods: list[Pod] = []
    try:
        for document in _each(text):
            if document["kind"] == "Table":
                jobs |= {
                    str(row["cells"][0]): str(row["cells"][1]) for row in document["rows"] or ()
                }
            elif document["kind"] == "PodList":
                pods += document["items"]
            else:
                raise TypeError(document["kind"])
        # All that is asked of a pod later is asked once here, where its absence is a ParseError.
        for pod in pods:
            _job_of(pod)
            _condition(pod, "PodScheduled")
            _terminated(pod)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise ParseError("what the API server says of jobs and pods", text) from None
    return jobs, pods


def _each(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    # curl prints both answers as one text, which no single json.loads takes.
    rest = text.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        yield document
        rest = rest[end:].lstrip()


def _job_of(pod: Pod) -> str:
    return str(pod["metadata"]["labels"][JOB_LABEL])


def _condition(pod: Pod, kind: str) -> dict[str, Any] | None:
    return next((one for one in pod["status"].get("conditions") or () if one["type"] == kind), None)


def _terminated(pod: Pod) -> dict[str, Any] | None:
    for one in pod["status"].get("containerStatuses") or ():
        if ended := one["state"].get("terminated"):
            return dict(ended)
    return None


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
