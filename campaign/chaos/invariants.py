"""What must hold of a campaign's records, whatever goes wrong."""

from collections.abc import Iterator
from typing import get_args

from campaign.core.trials import Outcome
from campaign.records.ledger import History
from campaign.records.results import Results


def records_broken(history: History, results: Results) -> Iterator[str]:
    """Yield a line for each invariant that the records of a campaign break, running or ended."""
    for number, records in history.records.items():
        attempts = [record.attempt for record in records]
        if attempts != sorted(set(attempts)):
            yield f"trial {number} was counted twice: attempts {attempts}"
        for record in records:
            if record.outcome not in get_args(Outcome):
                yield f"trial {number} ended as {record.outcome!r}"
        if records[-1].valid and results.trial_jobs(number) is None:
            yield f"trial {number} is in the ledger, but its jobs are not on the disk"
        if len([record for record in records if record.valid]) > 1:
            yield f"trial {number} was measured again after it was done"
