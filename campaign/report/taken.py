"""Which trials were taken over from other campaigns, in words."""

from collections import Counter
from collections.abc import Sequence

from campaign.core.trials import TrialRecord


def taken_over(records: Sequence[TrialRecord]) -> str:
    """Return how many trials were taken over, and from which campaigns; empty where none was."""
    origins = [record.provenance.taken_from for record in records]
    counts = Counter(origin.rpartition(":")[0] for origin in origins if origin)
    if not counts:
        return ""
    taken = " and ".join(f"{count} from {name}" for name, count in counts.items())
    return f"{counts.total()} of the {len(records)} trials were taken over: {taken}"
