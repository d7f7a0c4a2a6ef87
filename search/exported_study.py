"""A campaign as a study of Optuna's in a journal file, which optuna-dashboard opens.

Optuna's own journal of a file flushes it line by line, and holds a lock beside it. Here the lines
are gathered, so that the file can appear whole.
"""

import json
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from campaign.core.trials import TrialRecord
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from search.space import Dimension, Space, holds
from search.study import CONSTRAINT_ATTR, distribution, violations


@dataclass(frozen=True)
class StudyFacts:
    """What a study is called and looks for, and what else there is to know of it (`notes`)."""

    name: str
    objectives: Mapping[str, Direction]
    constraints: Mapping[str, Bound]
    notes: Mapping[str, str]


class _Lines(BaseJournalBackend):
    """Keeps the entries of a journal in memory."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self.entries[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.entries += logs


def journal_of(
    facts: StudyFacts, space: Space, records: Sequence[TrialRecord], names: Mapping[str, str]
) -> bytes:
    """Return the content of the journal file of a study with a trial for each record.

    `names` are those of the dimensions of `space`, as people read them. Valid trials are complete,
    with the objectives as values; all others have failed. A trial's other metrics, its outcome and
    what it is are its user attributes. The constraints stand where Optuna's samplers look for them.
    """
    lines = _Lines()
    storage = JournalStorage(lines)
    study = optuna.create_study(
        storage=storage, study_name=facts.name, directions=list(facts.objectives.values())
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(facts.objectives))
    for name, value in facts.notes.items():
        study.set_user_attr(name, value)
    found = next((one for one in records if one.baseline and one.valid), None)
    baseline = found.metrics if found else None
    study_id = storage.get_study_id_from_name(facts.name)
    for number, record in enumerate(records):
        violated = violations(record.metrics, facts.constraints, baseline) if record.valid else {}
        trial = _trial(number, record, facts, space, names)
        if violated:
            # In one list, as optuna-dashboard wants them. JSON has no infinity.
            amounts = [min(amount, sys.float_info.max) for amount in violated.values()]
            trial.system_attrs = {CONSTRAINT_ATTR: amounts}
            trial.set_user_attr("constraints", ", ".join(violated))
        storage.create_new_trial(study_id, template_trial=trial)
    entries = (json.dumps(entry, separators=(",", ":")) for entry in lines.entries)
    return "".join(f"{entry}\n" for entry in entries).encode()


def _trial(
    number: int, record: TrialRecord, facts: StudyFacts, space: Space, names: Mapping[str, str]
) -> FrozenTrial:
    values = [record.metrics[name] for name in facts.objectives if name in record.metrics]
    whole = record.valid and len(values) == len(facts.objectives)
    known = {
        path: dimension
        for path, dimension in space.dimensions.items()
        # What was given by hand may lie outside of what is searched.
        if path in record.point and holds(dimension, record.point[path])
    }
    return FrozenTrial(
        number=number,
        trial_id=-1,
        state=TrialState.COMPLETE if whole else TrialState.FAIL,
        value=None,
        values=values if whole else None,
        datetime_start=datetime.fromtimestamp(record.started),
        datetime_complete=datetime.fromtimestamp(record.ended),
        params={names[path]: record.point[path] for path in known},
        distributions={names[path]: distribution(one) for path, one in known.items()},
        user_attrs=dict(_attributes(record, facts.objectives, _outside(record, known, names))),
        system_attrs={},
        intermediate_values={},
    )


def _outside(
    record: TrialRecord, known: Mapping[str, Dimension], names: Mapping[str, str]
) -> dict[str, Any]:
    point = record.point.items()
    return {names.get(path, path): value for path, value in point if path not in known}


def _attributes(
    record: TrialRecord, objectives: Iterable[str], outside: Mapping[str, Any]
) -> Iterable[tuple[str, Any]]:
    yield "trial", record.number
    yield "outcome", record.outcome
    yield "baseline", record.baseline
    if record.reason:
        yield "reason", record.reason
    yield from outside.items()
    for name in ("image_hash", "workload_hash", "acceleration", "testbed"):
        if value := record.provenance.facts.get(name):
            yield name, value
    yield from ((name, value) for name, value in record.metrics.items() if name not in objectives)
