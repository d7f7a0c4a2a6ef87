"""What must hold of a campaign's records, whatever goes wrong."""

from collections.abc import Iterator
from typing import get_args

from campaign.core.trials import Outcome
from campaign.records.history import History
from campaign.records.results import Results


def records_broken(history: History, results: Results) -> Iterator[str]:
    """Yield a line for each invariant that the records of a campaign break, running or ended."""
    for (number, instance), records in history.records.items():
        name = f"trial {number}" + (f" on instance {instance}" if instance else "")
        attempts = [record.attempt for record in records]
        if attempts != sorted(set(attempts)):
            yield f"{name} was counted twice: attempts {attempts}"
        for record in records:
            if record.outcome not in get_args(Outcome):
                yield f"{name} ended as {record.outcome!r}"
        if records[-1].valid and results.trial_jobs(number, instance) is None:
            yield f"{name} is in the ledger, but its jobs are not on the disk"
        if len([record for record in records if record.valid]) > 1:
            yield f"{name} was measured again after it was done"
