"""What MLflow is told of a trial: parameters, metrics, tags and files, made from its record."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from campaign.core.phases import Phase
from campaign.core.printable import printable
from campaign.core.trials import Point, TrialRecord
from campaign.report.facts import short, shown
from campaign.report.gantt import chartable, gantt_svg
from campaign.tracking.artifacts import CHECKS
from search.space import ARMS, SCHEDULER

_TAG_CHARACTERS = 8000  # MLflow refuses longer tags
_REFUSED = re.compile(r"[^\w.\- :\[\],=<>]")  # by MLflow, in names of metrics, as it does _WORDS
_WORDS = {"[": "/", "]": "", ",": " ", ">=": "from ", "<=": "to ", ">": "over ", "<": "below "}
_PARAM_CHARACTERS = 6000  # and longer parameters


@dataclass(frozen=True)
class Artifacts:
    """What a trial left beside its record.

    It is the jobs table, and files (logs, rendered configuration) by relative path.
    """

    jobs: pa.Table | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def parameters(point: Point) -> dict[str, str]:
    """Return a trial's parameters: those that vary from trial to trial.

    Those of the scheduler have its own names; those of other schedulers are left out.
    """
    foreign = f"{ARMS}.(?!{re.escape(str(point.get(SCHEDULER)))}\\.)"
    return {
        printable(short(name)): printable(shown(value))[:_PARAM_CHARACTERS]
        for name, value in point.items()
        if not re.match(foreign, name)  # the parameters of another scheduler
    }


def named(name: str, testbed: str) -> str:
    """Return the name of a run, which says so where nothing was measured in real time."""
    kinds = {"simulation": " (simulation)", "virtual-time": " (virtual time)"}
    return name + kinds.get(testbed, "")


def fidelity_of(testbed: str, acceleration: str = "") -> str:
    """Return how real a run was, in words."""
    if testbed != "libvirt":
        return testbed.replace("-", " ")
    return f"real time, {acceleration}" if acceleration else "real time"


def metrics_of(record: TrialRecord) -> dict[str, float]:
    """Return a trial's metrics, phases, pressures and checks by their names in MLflow.

    A metric of a class of jobs is written without the signs that MLflow refuses (`mlflow_name`). A
    phase is `phase.<name>_s`; `pressure.cpu`, `.memory` and `.io` are the hosts' mean pressures
    (0 to 1) while jobs ran; a check is `check.<name>`, its value, and `check.<name>.ok`,
    1 or 0.
    """
    values = {mlflow_name(name): value for name, value in record.metrics.items()}
    values.update({phase.metric: seconds for phase, seconds in record.phases.items()})
    for load in record.loads:
        if load.phase == Phase.WORKLOAD:
            for name, kind in (("cpu", load.cpu), ("memory", load.memory), ("io", load.io)):
                if kind is not None:
                    # Of several hosts, the one under the highest pressure counts.
                    metric = f"pressure.{name}"
                    values[metric] = max(kind.mean, values.get(metric, 0.0))
    for check in record.checks:
        values[f"check.{check.name}"] = check.value
        values[f"check.{check.name}.ok"] = float(check.ok)
    return values


def mlflow_name(metric: str) -> str:
    """Return the name of a metric in MLflow, which allows few signs.

    `wait_mean_s[partition=gpu]` is `wait_mean_s/partition:gpu`, and `[width=>64]` is
    `/width:over 64`. Where a class' own name has a sign that is refused, some digits of a hash tell
    the metric from others.
    """
    allowed = _REFUSED.sub("_", metric)
    name = re.sub(r"(?<=[\[,])(\w+)=", r"\1:", allowed)
    for sign, word in _WORDS.items():
        name = name.replace(sign, word)
    return name if allowed == metric else f"{name} {digest(metric.encode())[:8]}"


def tags_of(record: TrialRecord) -> dict[str, str]:
    """Return a trial's tags: all of its provenance, and how it ended."""
    own = {
        "trial": str(record.number),
        "attempt": str(record.attempt),
        "outcome": record.outcome,
        "reason": record.reason,
        "host": record.host,
        "group": str(record.group),
        **({"baseline": "true"} if record.baseline else {}),
    }
    return {
        printable(name): printable(value)[:_TAG_CHARACTERS]
        for name, value in {**record.provenance.facts, **own}.items()
    }


def files_of(record: TrialRecord, artifacts: Artifacts) -> dict[str, bytes]:
    """Return a trial's files in MLflow by relative path: its artifacts, checks, jobs and chart."""
    checks = [check.model_dump() for check in record.checks]
    files = {**artifacts.files, CHECKS: json.dumps(checks, indent=2).encode()}
    if artifacts.jobs is not None:
        files["jobs.parquet"] = _parquet(artifacts.jobs)
        if chartable(artifacts.jobs):
            files["gantt.svg"] = gantt_svg(artifacts.jobs, title=f"trial {record.number}").encode()
    return files


def _parquet(jobs: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(jobs, sink, compression="zstd")
    return bytes(sink.getvalue())


def digest(content: bytes) -> str:
    """Return the SHA-256 of `content`, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def milliseconds(seconds: float) -> int:
    """Return a time in Unix seconds as MLflow has it."""
    return int(seconds * 1000)
