"""A campaign's ledger whose driver dies as a line is about to be written."""

from contextlib import contextmanager

from campaign.records.ledger import Ledger
from tests.fakes.testbed import Killed


@contextmanager
def mortal_ledger(results, campaign, appends=None):
    """Open the ledger, begun if it is empty; after so many lines, the next one raises Killed."""
    with Ledger(results.ledger_path) as ledger:
        if ledger.history.head is None:
            ledger.append("campaign", id="d3", name="demo", config=campaign.model_dump(mode="json"))
        append = ledger.append
        left = iter(range(appends)) if appends is not None else None

        def dying(event, **values):
            if left is not None and next(left, None) is None:
                raise Killed
            append(event, **values)

        ledger.append = dying
        yield ledger
