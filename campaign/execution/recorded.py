"""Whether the trials that a ledger recorded are trials of the campaign that it recorded."""

from collections.abc import Mapping
from pathlib import Path

from campaign.core.errors import LedgerError
from campaign.core.trials import TrialRecord
from campaign.records.history import History
from campaign.schema.model import Direction
from search.space import Space


def check_recorded(
    history: History, space: Space, objectives: Mapping[str, Direction], ledger: Path
) -> None:
    """Raise LedgerError for a trial that can't be one of a campaign with this space and objectives.

    Checksums tell that a line was changed since it was written. This also tells that somebody wrote
    it who knew how to make them, or that it is of a version that made none.
    """
    for number, asked in history.asked.items():
        if why := space.misfit(asked.point):
            raise _no_trial(ledger, number, f"its point isn't one of this campaign: {why}")
    for number, one in enumerate(history.rehearsals):
        if why := space.misfit(one.record.point) or _missing(one.record, objectives):
            raise LedgerError(
                f"{ledger}: the rehearsal {number} can't be used: {why}",
                resolution="Restore the file, or use another name= to begin anew.",
            )
    for record in history.final():
        if missing := _missing(record, objectives):
            raise _no_trial(ledger, record.number, f"it is ok, but has no {missing}")


def _missing(record: TrialRecord, objectives: Mapping[str, Direction]) -> str:
    if not record.valid:
        return ""
    return next((name for name in objectives if name not in record.metrics), "")


def _no_trial(ledger: Path, number: int, why: str) -> LedgerError:
    return LedgerError(
        f"{ledger}: trial {number} can't be used: {why}",
        resolution="Restore the file, or use another name= to begin anew.",
    )
