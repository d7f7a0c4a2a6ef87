"""The lines of a ledger: what an event of each kind must have, and the checksums that chain lines.

A line is a JSON object that ends in its number and its checksum:

    {"event":"started","time":1764445332.128,"trial":7,"attempt":1,"n":23,"hash":"0f3a..."}

The checksum is that of the line before and of this line up to its own checksum. So a line that was
changed, lost, doubled or moved is found at itself or at the next one. Ledgers of earlier versions
have lines without it. They are read as they are, and the first line with a checksum covers them.
"""

import hashlib
import json
import math
import re
import sys
from collections.abc import Sequence
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from campaign.core.trials import Point, TrialRecord

HASH_DIGITS = 16
_BEFORE_HASH = b',"hash":"'
_AFTER_HASH = b'"}\n'
_END = len(_BEFORE_HASH) + HASH_DIGITS + len(_AFTER_HASH)
_NUMBER = re.compile(rb',"n":(\d+)\Z')
_NUMBER_KEY = "n"


class Event(BaseModel):
    """What every event has; keys that this version doesn't know are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    event: str
    time: float = 0.0  # Unix seconds


class HeadEvent(Event):
    """The head of a ledger: what is run. `id` tells the campaign from others of its name.

    `key`, `workload_sha256` are those of the first group (see `campaign.records.groups`),
    `arguments` the words of the command line, `folder` is where it was given. Earlier versions
    recorded none of these.
    """

    id: str
    name: str = ""
    config: dict[str, Any]
    images: dict[str, str] = {}
    workload_hash: str = ""
    key: dict[str, str] | None = None
    workload_sha256: str = ""
    arguments: tuple[str, ...] | None = None
    folder: str = ""


class ResumedEvent(Event):
    """A driver took the campaign up again: with these settings, by this command line.

    Earlier versions recorded neither.
    """

    config: dict[str, Any] | None = None
    arguments: tuple[str, ...] | None = None
    folder: str = ""


class GroupEvent(Event):
    """The trials from here on are a group of their own (see `campaign.records.groups`)."""

    key: dict[str, str]
    workload_sha256: str


class AskedEvent(Event):
    """A point was chosen, with the sampler's notes; `baseline` tells if it is the baseline.

    `origin` tells who chose it; earlier versions did not record that. `taken_from` names the trial
    of another campaign that this one is.
    """

    trial: NonNegativeInt
    point: Point
    attrs: dict[str, Any]
    baseline: bool = False
    origin: str = ""
    taken_from: str = ""

    @property
    def chosen(self) -> tuple[str, str]:
        """By whom the point was chosen, and the trial that it is taken from."""
        return self.origin, self.taken_from


class InstanceEvent(Event):
    """A workload instance beside the first, on which trials of the newest group are evaluated.

    `workload_hash` is that of its jobs, `workload_sha256` that of the file that keeps them.
    """

    instance: PositiveInt
    workload_hash: str
    workload_sha256: str


class StartedEvent(Event):
    """An attempt to evaluate a trial on an instance began."""

    trial: NonNegativeInt
    attempt: PositiveInt
    instance: NonNegativeInt = 0


def check_finite(record: TrialRecord) -> None:
    """Raise ValueError for a metric that is no number."""
    for name, value in record.metrics.items():
        if not math.isfinite(value):
            raise ValueError(f"the metric {name} is {value}")


class FinishedEvent(Event):
    """An attempt was judged. `jobs_sha256` is that of its jobs table's file, "" if it left none.

    It is None in ledgers of earlier versions.
    """

    trial: NonNegativeInt
    record: TrialRecord
    jobs_sha256: str | None = None

    @model_validator(mode="after")
    def _of_one_trial(self) -> Self:
        if self.record.number != self.trial:
            raise ValueError(f"trial {self.trial} has the record of trial {self.record.number}")
        check_finite(self.record)
        return self


class RuledOutEvent(Event):
    """A trial is evaluated on no further instances, since it has lost; `why` says to which."""

    trial: NonNegativeInt
    why: str


class RehearsedEvent(Event):
    """A point was tried on the cheap rung of a ladder, with the sampler's notes.

    Rehearsals count from 0 within a group, and are no trials.
    """

    rehearsal: NonNegativeInt
    attrs: dict[str, Any]
    record: TrialRecord

    @model_validator(mode="after")
    def _finite(self) -> Self:
        check_finite(self.record)
        return self


class HookEvent(Event):
    """A hook was called at a `moment`: what came of it, after how many seconds, and why.

    Moments of a trial say of which attempt at which replicate.
    """

    hook: str
    moment: str
    outcome: str
    seconds: float
    detail: str = ""
    trial: NonNegativeInt | None = None
    attempt: PositiveInt | None = None
    instance: NonNegativeInt = 0


class FairnessEvent(Event):
    """What differs between the schedulers that were compared."""

    rows: list[dict[str, Any]]


AnyEvent = (
    HeadEvent
    | ResumedEvent
    | GroupEvent
    | InstanceEvent
    | AskedEvent
    | StartedEvent
    | FinishedEvent
    | RuledOutEvent
    | RehearsedEvent
    | FairnessEvent
    | HookEvent
)

_KINDS: dict[str, type[AnyEvent]] = {
    "campaign": HeadEvent,
    "resumed": ResumedEvent,
    "group": GroupEvent,
    "instance": InstanceEvent,
    "asked": AskedEvent,
    "started": StartedEvent,
    "finished": FinishedEvent,
    "ruled_out": RuledOutEvent,
    "rehearsed": RehearsedEvent,
    "fairness": FairnessEvent,
    "hook": HookEvent,
}


def validated(event: dict[str, Any]) -> AnyEvent:
    """Return the event as its model; raise ValueError, which says what is wrong with it."""
    kind = event.get("event")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"unknown event {kind!r}")
    try:
        return _KINDS[kind].model_validate(event)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{kind}: {where}: {first['msg']}".replace(": :", ":")) from None


class Chain:
    """The checksums of a ledger's lines so far."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = b""
        self._begun = False

    def sealed(self, text: str) -> bytes:
        """Return the next line, made of the JSON object `text`, without taking it in."""
        content = b'%s,"n":%d' % (text.encode().removesuffix(b"}"), self.count + 1)
        return content + _BEFORE_HASH + self._over(content) + _AFTER_HASH

    def read(self, line: bytes) -> dict[str, Any]:
        """Take in the next line and return its event; raise ValueError if it can't be that line."""
        content = line[:-_END]
        chained = line[-_END:].startswith(_BEFORE_HASH) and line.endswith(_AFTER_HASH)
        if chained and self._over(content) != line[-_END:][len(_BEFORE_HASH) :][:HASH_DIGITS]:
            raise ValueError(self._mismatch(content))
        event = parsed(content + b"}" if chained else line)
        # A damaged end must not make a line pass for one of an earlier version.
        if not chained and (self._begun or _NUMBER_KEY in event):
            raise ValueError("it has no checksum")
        event.pop(_NUMBER_KEY, None)
        self._hash = self._over(content if chained else line)
        self._begun = chained
        self.count += 1
        return event

    def _over(self, content: bytes) -> bytes:
        return hashlib.sha256(self._hash + content).hexdigest()[:HASH_DIGITS].encode()

    def _mismatch(self, content: bytes) -> str:
        number = _NUMBER.search(content)
        if number and int(number[1]) != self.count + 1:
            return (
                f"it was written as line {int(number[1])}: lines are missing, doubled or in "
                "another order"
            )
        return "its checksum is wrong: this line, or those before it, were changed"


def _shared(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    # Equal strings become one object: a hundred thousand records have the same keys and much the
    # same provenance.
    return {
        sys.intern(key): sys.intern(value) if isinstance(value, str) else value
        for key, value in pairs
    }


_DECODER = json.JSONDecoder(object_pairs_hook=_shared)


def parsed(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line; raise ValueError if it is none."""
    try:
        event = _DECODER.decode(line.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(event, dict):
        raise ValueError("it is not a JSON object")
    return event
