"""A trial from asked to judged: its point, what evaluating it yielded, and the record that is kept
of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from campaign.schema.settings import Scalar, Settings

Outcome = Literal["ok", "invalid", "stalled", "scheduler_failed", "infrastructure_failed"]
Point = dict[str, Scalar]
"""A value per searched dimension, by its dotted setting: `cluster.nodes`,
`scheduler.params.bf_interval`."""

PHASES = (
    *(
        "golden",
        "fallback",
        "placed",
        "started",
        "reachable",
        "ready",
        "first_job",
        "workload",
        "collected",
    ),
    *("torn_down", "simulated"),
)
"""The arrows of a trial's life in order; `phase.<name>_s` is the time that the arrow to it took.
`golden` is making the golden cluster, once; `fallback` what was lost on one that couldn't be used;
`started` booting, or restoring its memory; `first_job` from the workload's start to its first
job's; `simulated` is all that a simulated trial takes."""
MEASURED = frozenset({"first_job", "workload", "simulated"})
"""The phases in which the workload runs; the rest is overhead."""


class Trial(Settings):
    """One point of the search space, to be evaluated once; `attempt` counts from 1."""

    number: int
    point: Point
    attempt: int = 1


class Check(Settings):
    """One line of the validity gate: `ok` tells whether `value` keeps to `limit`."""

    name: str
    value: float
    limit: float
    unit: str
    ok: bool


class TrialRecord(Settings):
    """What is kept of a judged trial. Everything shown of it later (MLflow, report, front) is
    derived from this."""

    number: int
    point: Point
    attempt: int
    outcome: Outcome
    reason: str = ""
    host: str = ""
    metrics: dict[str, float] = {}
    absent: dict[str, str] = {}  # why a metric has no value, by name
    phases: dict[str, float] = {}  # seconds, by name in PHASES
    provenance: dict[str, str] = {}  # image_hash, scheduler_version, acceleration, kernel, ...
    checks: tuple[Check, ...] = ()
    started: float = 0.0  # Unix seconds
    ended: float = 0.0

    @property
    def valid(self) -> bool:
        return self.outcome == "ok"


@dataclass(frozen=True)
class Evaluation:
    """What a testbed hands back for one trial; `files` are logs and rendered configuration, by
    relative path."""

    outcome: Outcome
    reason: str = ""
    host: str = ""
    jobs: pa.Table | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
