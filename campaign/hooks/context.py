"""What a hook is told, and what it may answer.

A Python hook is a function of one HookContext that returns a HookAnswer or None. A command reads
the same context as a JSON object on standard input, and may leave a HookAnswer as `answer.json` in
the folder `out`.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from campaign.core.trials import Check, Outcome, Point
from campaign.schema.hooks import HOOK_PATTERN

GROUP = "hpc_campaign.hooks"
"""The group of Python's entry points in which hooks are found."""
ANSWER = "answer.json"
"""The file in a command's `out` that is its answer."""

AddedName = Annotated[str, StringConstraints(pattern=HOOK_PATTERN)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Told(BaseModel):
    """What is told: it never changes; keys that a later version adds are to be left alone."""

    model_config = ConfigDict(frozen=True)


class TrialContext(_Told):
    """The trial that a moment is of.

    `folder` is where its files are once it is judged. After its evaluation, `outcome`, `reason`,
    `host` and `metrics` are known; `files` is a folder that holds the files that were collected,
    and its jobs as `jobs.parquet`. All of that is to be read only.
    """

    number: int
    attempt: int
    instance: int
    point: Point
    baseline: bool
    folder: str
    outcome: Outcome | None = None
    reason: str = ""
    host: str = ""
    metrics: dict[str, float] = {}
    files: str = ""


class PhaseContext(_Told):
    """The phase of a trial's cluster that a moment is of.

    `seconds` is how long it took, once it is over and collected. `live` tells if this is told
    while the trial runs; else its phases are told one after the other when it has been collected.
    """

    name: str
    live: bool
    seconds: float | None = None
    detail: str = ""


class HookContext(_Told):
    """What has come to pass: the `moment`, of which campaign, trial and phase.

    `results` is the campaign's folder of results. `reason` says what failed, at a moment of
    failure. What the hook leaves in `out` becomes the trial's files, below hooks/NAME/; it is empty
    at moments of the campaign.
    """

    version: int = 1
    hook: str
    moment: str
    campaign: str
    results: str
    trial: TrialContext | None = None
    phase: PhaseContext | None = None
    reason: str = ""
    out: str = ""


class HookAnswer(BaseModel):
    """What a hook adds to a trial.

    A metric `ipc` of the hook `perf` is the trial's metric `hook.perf.ipc`. A check that isn't `ok`
    makes the trial invalid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: dict[AddedName, Finite] = {}
    checks: tuple[Check, ...] = ()
