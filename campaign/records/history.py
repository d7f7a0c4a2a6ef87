"""What a campaign has come to, by the events of its ledger."""

from dataclasses import dataclass, field, replace
from typing import Any

from campaign.core.trials import Point, Replicate, TrialRecord
from campaign.records.events import (
    AskedEvent,
    FairnessEvent,
    FinishedEvent,
    GroupEvent,
    HeadEvent,
    HookEvent,
    InstanceEvent,
    RehearsedEvent,
    ResumedEvent,
    RuledOutEvent,
    StartedEvent,
    validated,
)
from campaign.records.groups import SOURCES, ComparableGroup
from campaign.records.replicates import ReplicateRule, combined, settings_below

FORGIVABLE = "infrastructure_failed"
RETRYABLE = frozenset({"invalid", FORGIVABLE})
"""The outcomes that are tried again where no error says whether that helps."""


@dataclass(frozen=True)
class Asked:
    """A point that was chosen, by whom, and from where; others are compared with a `baseline`."""

    number: int
    point: Point
    attrs: dict[str, Any]
    baseline: bool = False
    origin: str = ""
    taken_from: str = ""


@dataclass(frozen=True)
class Rehearsal:
    """A point that was tried on the cheap rung of a ladder: its record, and the sampler's notes."""

    record: TrialRecord
    attrs: dict[str, Any]


@dataclass
class History:
    """The state of a campaign after its events; the same events give the same history.

    `records` are those of the judged attempts at each replicate, in their order. `config`,
    `arguments` and `folder` are the settings, the words of the command line, and the folder in
    which the command was given: those of the last start that recorded them. `rule` says how values
    on several instances become one.
    """

    head: dict[str, Any] | None = None
    asked: dict[int, Asked] = field(default_factory=dict)
    records: dict[Replicate, list[TrialRecord]] = field(default_factory=dict)
    attempts: dict[Replicate, int] = field(default_factory=dict)  # started, judged or cut off
    forgiven: dict[Replicate, int] = field(default_factory=dict)  # records before the last resume
    ruled_out: dict[int, str] = field(default_factory=dict)  # why, by trial
    rehearsed: dict[int, list[Rehearsal]] = field(default_factory=dict)  # by group, in order
    fairness: list[dict[str, Any]] = field(default_factory=list)  # rows of the manifest
    tables: dict[Replicate, str | None] = field(default_factory=dict)  # of last records
    groups: list[ComparableGroup] = field(default_factory=list)
    kinds: dict[int, str] = field(default_factory=dict)  # acceleration, by group
    config: dict[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    folder: str = ""
    taken: int = 0  # trials at the beginning: taken over from other campaigns, and the baseline
    hooks: list[HookEvent] = field(default_factory=list)  # every call of one
    extended: int = 0  # trials that there were when search.trials was raised last
    rule: ReplicateRule = field(default_factory=ReplicateRule)
    _baselines: list[int] = field(default_factory=list)
    _instances: int = 1

    def add(self, event: dict[str, Any]) -> None:
        """Take in the next event; raise ValueError for one that isn't valid."""
        match validated(event):
            case HeadEvent() as head:
                if self.head is not None:
                    raise ValueError("it is a second head")
                self.head = event
                self.groups.append(ComparableGroup.of_head(head))
                self._note_start(head)
            case ResumedEvent() as resumed:
                self.forgiven = {key: len(records) for key, records in self.records.items()}
                self._note_start(resumed)
            case GroupEvent(key=key, workload_sha256=sha256):
                group = ComparableGroup(len(self.groups), key, workload_sha256=sha256)
                self.groups.append(group)
            case InstanceEvent() as found:
                self.groups[-1] = self.groups[-1].with_instance(found)
            case AskedEvent(trial=number, point=point, attrs=attrs, baseline=baseline) as asked:
                self.asked[number] = Asked(number, point, attrs, baseline, *asked.chosen)
                self.taken = number + 1 if asked.taken_from else self.taken
                self._baselines += [number] if baseline else []
            case StartedEvent(trial=number, attempt=attempt, instance=instance):
                self.attempts[Replicate(number, instance)] = attempt
            case FinishedEvent(record=record, jobs_sha256=table):
                self._note_record(record, table)
            case RuledOutEvent(trial=number, why=why):
                self.ruled_out[number] = why
            case RehearsedEvent(rehearsal=number, record=record, attrs=attrs):
                self._note_rehearsal(number, Rehearsal(record, attrs))
            case FairnessEvent(rows=rows):
                self.fairness = rows
            case HookEvent() as called:
                self.hooks.append(called)

    def _note_start(self, event: HeadEvent | ResumedEvent) -> None:
        before, now = (settings_below(one, "search") for one in (self.config, event.config or {}))
        if now.get("trials", 0) > before.get("trials", 0):
            self.extended = len(self.asked)
        self.config = self.config if event.config is None else event.config
        self.arguments = self.arguments if event.arguments is None else event.arguments
        self.folder = event.folder or self.folder
        self.rule = ReplicateRule.of_config(self.config)

    def _note_record(self, record: TrialRecord, table: str | None) -> None:
        self.records.setdefault(record.replicate, []).append(record)
        self.tables[record.replicate] = table
        self._instances = max(self._instances, record.instance + 1)
        if record.valid and record.provenance.acceleration:
            self.kinds.setdefault(record.group, record.provenance.acceleration)

    def _note_rehearsal(self, number: int, found: Rehearsal) -> None:
        before = self.rehearsed.setdefault(found.record.group, [])
        if number != len(before):
            raise ValueError(f"it is the rehearsal {number}, not {len(before)}")
        before.append(found)

    @property
    def rehearsals(self) -> list[Rehearsal]:
        """The points that were tried on the cheap rung for the newest group, in their order."""
        return self.rehearsed.get(self.group.number, [])

    def settled(self, replicate: Replicate, retries: int) -> bool:
        """Return whether the replicate needs no further attempt.

        A resume forgives failures of the infrastructure: whoever starts the campaign again has
        probably fixed their cause.
        """
        records = self.records.get(replicate, [])
        if not records:
            return False
        allowed = retries if _may_retry(records[-1]) else 0
        if records[-1].outcome == FORGIVABLE:
            return len(records) - self.forgiven.get(replicate, 0) > allowed
        return len(records) > allowed

    def due(self, number: int, retries: int) -> list[Replicate]:
        """Return the replicates that a trial still needs, of those that the search sees.

        It needs none once it is ruled out, or has ended otherwise than well on an instance.
        """
        if number in self.ruled_out:
            return []
        replicates = [Replicate(number, instance) for instance in range(self.rule.searched)]
        done = [each for each in replicates if self.settled(each, retries)]
        last = [self.records[each][-1] for each in done]
        # The instances of a later group are of other jobs or other software.
        if any(not one.valid or one.group != self.group.number for one in last):
            return []
        return [each for each in replicates if each not in done]

    def lasting(self, retries: int) -> int:
        """Return the number of trials that stay settled whatever a resume forgives."""
        return sum(
            not self.due(number, retries)
            and all(one.outcome != FORGIVABLE for one in self._last_of(number))
            for number in self.asked
        )

    @property
    def identity(self) -> str:
        """The id that tells this campaign from others of its name, whose results were deleted."""
        return str(self.head["id"]) if self.head else ""

    @property
    def images(self) -> dict[str, str]:
        """The hashes of the images that the campaign began with, by scheduler."""
        return dict(self.head["images"]) if self.head else {}

    def trial(self, number: int) -> TrialRecord:
        """Return the record of a trial, made of the last ones of its replicates.

        Raises KeyError where none was judged on the first instance.
        """
        last = self._last_of(number)
        if not last or last[0].instance:
            raise KeyError(number)
        before = (n for n in reversed(self._baselines) if n <= number)
        baseline = self._last_of(next(before, number))
        return combined(
            last, self.rule, baseline=baseline, ruled_out=self.ruled_out.get(number, "")
        )

    def earlier_attempts(self) -> list[TrialRecord]:
        """Return the records of attempts that others followed, in order of trials."""
        return [one for key in sorted(self.records) for one in self.records[key][:-1]]

    def final(self) -> list[TrialRecord]:
        """Return the record of each trial that has one, in order of trials."""
        return [self.trial(key.trial) for key in sorted(self.records) if not key.instance]

    def _last_of(self, number: int) -> list[TrialRecord]:
        return [self.records[key][-1] for key in self._replicates_of(number)]

    def _replicates_of(self, number: int) -> list[Replicate]:
        keys = (Replicate(number, instance) for instance in range(self._instances))
        return [key for key in keys if key in self.records]

    @property
    def group(self) -> ComparableGroup:
        """The newest group: the one that trials belong to from now on."""
        group = self.groups[-1] if self.groups else ComparableGroup(0)
        if group.complete or not self.records:
            return group
        # An earlier version: its trials say which sources they ran on, the ledger's head doesn't.
        sources = next(reversed(self.records.values()))[-1].provenance.source_digest
        return replace(group, key={**group.key, SOURCES: sources}) if sources else group

    def comparable(self, group: int | None = None) -> list[TrialRecord]:
        """Return the last records of the trials of one group (default: the newest), in order."""
        wanted = self.group.number if group is None else group
        return [record for record in self.final() if record.group == wanted]

    @property
    def acceleration(self) -> str:
        """How the guests of the newest group run: as those of its first valid trial did.

        Empty while no trial has told.
        """
        return self.kinds.get(self.group.number, "")


def _may_retry(record: TrialRecord) -> bool:
    return record.outcome in RETRYABLE if record.retryable is None else record.retryable
