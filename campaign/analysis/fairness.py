"""The fairness manifest: what is equal and what differs between compared schedulers.

Published comparisons have been ruined by arms that differed in what nobody wrote down: webhooks or
request limits on for one scheduler and off for the other. So what differs comes first, and of that
what the adapters say of themselves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from campaign.core.provenance import Group, label_of, names_of
from campaign.core.trials import TrialRecord
from schedulers.base import ASPECTS, Params
from schedulers.interface import Scheduler

UNKNOWN = "not known"


@dataclass(frozen=True)
class ManifestEntry:
    """One aspect, and the value that it has in each arm."""

    aspect: str
    values: Mapping[str, str]

    @property
    def equal(self) -> bool:
        """True if the aspect has one value in all arms."""
        return len(set(self.values.values())) == 1


def manifest(
    schedulers: Mapping[str, Scheduler[Params]], records: Iterable[TrialRecord]
) -> list[ManifestEntry]:
    """Return the entries of the manifest, those that differ first.

    `schedulers` are the arms' adapters by name. Recorded and measured facts are those of each arm's
    judged attempts; an arm without any has UNKNOWN.
    """
    provenance = {
        name: [one.provenance.facts for one in records_of]
        for name, records_of in _by_arm(schedulers, records)
    }
    said = {name: scheduler.fairness() for name, scheduler in schedulers.items()}
    rows = [
        ManifestEntry(what, {name: said[name][aspect] for name in schedulers})
        for aspect, what in ASPECTS.items()
    ]
    rows += [
        ManifestEntry(
            label_of(fact), {name: _recorded(provenance[name], fact) for name in schedulers}
        )
        for fact in names_of(Group.RECORDED)
    ]
    rows += [
        ManifestEntry(
            label_of(fact, "median"),
            {name: _measured(provenance[name], fact) for name in schedulers},
        )
        for fact in names_of(Group.MEASURED)
    ]
    # False sorts before True, and equal ones keep their order.
    return sorted(rows, key=lambda row: row.equal)


def plain(rows: Sequence[ManifestEntry]) -> list[dict[str, Any]]:
    """Return the manifest as JSON values."""
    return [asdict(row) | {"equal": row.equal} for row in rows]


def _by_arm(
    schedulers: Iterable[str], records: Iterable[TrialRecord]
) -> Iterator[tuple[str, list[TrialRecord]]]:
    found = list(records)
    for name in schedulers:
        yield name, [record for record in found if record.provenance.scheduler == name]


def _recorded(provenance: Sequence[Mapping[str, str]], key: str) -> str:
    return ", ".join(sorted({one[key] for one in provenance if one.get(key)})) or UNKNOWN


def _measured(provenance: Sequence[Mapping[str, str]], key: str) -> str:
    values = [float(one[key]) for one in provenance if one.get(key)]
    return f"{median(values):.0f}" if values else UNKNOWN
