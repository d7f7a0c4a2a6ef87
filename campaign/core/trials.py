"""A trial from asked to judged: its point, its evaluation, and the record that is kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from campaign.core.host_load import HostLoad
from campaign.core.phases import TIMED, Phase
from campaign.core.provenance import Provenance
from campaign.schema.settings import Scalar, Settings

if TYPE_CHECKING:  # Arrow takes a quarter of a second, and a command's help needs none of it
    import pyarrow as pa

Outcome = Literal["ok", "invalid", "stalled", "scheduler_failed", "infrastructure_failed"]
Origin = Literal["sampler", "baseline", "first", "arm", "taken", "promoted"]
"""Who chose a point: the sampler freely, what comes before (`search.opening`), a trial that was
taken over, or what was foretold of it (`search.ladder`)."""
Point = dict[str, Scalar]
"""A value per searched dimension, by its dotted setting: `cluster.nodes`,
`scheduler.params.bf_interval`."""

_PHASES = frozenset(TIMED)


class Replicate(NamedTuple):
    """One run of a trial's point, on one workload instance; both count from 0."""

    trial: int
    instance: int = 0


class Trial(Settings):
    """One point of the search space, to be evaluated on one workload instance.

    `attempt` counts from 1.
    """

    number: int
    point: Point
    attempt: int = 1
    instance: int = 0

    @property
    def replicate(self) -> Replicate:
        return Replicate(self.number, self.instance)


class Check(Settings):
    """One line of the validity gate: `ok` tells whether `value` keeps to `limit`.

    `note` says why it means nothing for this trial, if it doesn't.
    """

    name: str
    value: float
    limit: float
    unit: str
    ok: bool
    note: str = ""


def _known_phases(phases: object) -> object:
    # A ledger of another version may have other phases: their seconds count as untimed.
    if not isinstance(phases, Mapping):
        return phases
    return {name: seconds for name, seconds in phases.items() if name in _PHASES}


class TrialRecord(Settings):
    """The record of a judged trial, or of one of its replicates.

    All that is shown of a trial later (MLflow, report, front) is derived from this. A replicate is
    of one workload `instance`. Where trials have several, the record of the trial is made of theirs
    (`campaign.records.replicates`): it has them as `replicates`, those on instances that the search
    doesn't see as `held_out`, and `ruled_out` says why it was not evaluated on all. `group` is the
    number of the group whose trials it may be compared with (see `campaign.records.groups`), and
    `baseline` tells if it is the one that these are compared with first.
    `loads` are those of its hosts, phase by phase. `busy` names a host that others kept busy where
    that has probably spoiled the trial.
    """

    number: int
    point: Point
    attempt: int
    outcome: Outcome
    reason: str = ""
    host: str = ""
    metrics: dict[str, float] = {}
    absent: dict[str, str] = {}  # why a metric has no value, by name
    phases: Annotated[dict[Phase, float], BeforeValidator(_known_phases)] = {}  # seconds
    provenance: Provenance = Provenance()
    checks: tuple[Check, ...] = ()
    loads: tuple[HostLoad, ...] = ()
    busy: str = ""
    retryable: bool | None = None  # by the error that ended it; None where there was none
    started: float = 0.0  # Unix seconds
    ended: float = 0.0
    group: int = 0
    baseline: bool = False
    instance: int = 0
    replicates: Annotated[tuple["TrialRecord", ...], Field(exclude=True)] = ()
    held_out: Annotated[tuple["TrialRecord", ...], Field(exclude=True)] = ()
    ruled_out: Annotated[str, Field(exclude=True)] = ""

    @property
    def replicate(self) -> Replicate:
        return Replicate(self.number, self.instance)

    @property
    def valid(self) -> bool:
        return self.outcome == "ok"

    @property
    def failed(self) -> bool:
        """True if the platform or the scheduler failed, so that the trial tells nothing."""
        return self.outcome in ("infrastructure_failed", "scheduler_failed")


@dataclass(frozen=True)
class Evaluation:
    """A testbed's answer for one trial.

    `files` are logs and rendered configuration, by relative path. `retryable` is that of the error
    that ended the trial; None if there was none, or if nothing tells. `loads` and `busy` are as in
    its record.
    """

    outcome: Outcome
    reason: str = ""
    host: str = ""
    jobs: "pa.Table | None" = None
    phases: Mapping[Phase, float] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    checks: tuple[Check, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    loads: tuple[HostLoad, ...] = ()
    busy: str = ""
    retryable: bool | None = None
