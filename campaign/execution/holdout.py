"""Which replicates are run at the end, on instances that the search has not seen."""

from collections.abc import Iterator

from campaign.core.trials import Replicate
from campaign.records.history import History
from campaign.report.facts import alike
from campaign.schema.model import Campaign
from search.pareto import front


def held_out(history: History, campaign: Campaign) -> Iterator[Replicate]:
    """Yield the replicates of the front and the baseline on the instances held out, in order.

    Of several trials with equal values, the first is run.
    """
    seen = campaign.workload.instances
    if not campaign.search.held_out:
        return
    records = history.comparable()
    best = front(records, campaign.objectives, campaign.search.constraints)
    baselines = {record.number for record in records if record.baseline and record.valid}
    compared = {first.number for first, _ in alike(best, campaign.objectives)} - baselines
    # The baseline alone would tell nothing.
    for number in sorted(compared | baselines) if compared else ():
        for instance in range(seen, seen + campaign.search.held_out):
            yield Replicate(number, instance)
