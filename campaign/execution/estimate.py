"""How long a campaign would take and how large it would get, by earlier ones of this machine."""

import math
import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from campaign.core.durations import duration_text
from campaign.core.errors import CampaignError
from campaign.core.trials import TrialRecord
from campaign.records.campaigns import names_in
from campaign.records.groups import WORKLOAD
from campaign.records.history import History
from campaign.records.ledger import history_of
from campaign.records.results import Results

NEWEST = 20
"""So many of the newest campaigns are looked at: reading a ledger takes a moment."""
MIB = 2.0**20


@dataclass(frozen=True)
class EarlierCampaign:
    """What a run took in an earlier campaign: a run is a trial, or a replicate of one.

    `pace_s` is the median time from the end of one run to that of the next.
    """

    name: str
    workload_hash: str
    runs: int
    pace_s: float
    bytes_each: float


def earlier_campaigns(root: Path, testbed: str) -> list[EarlierCampaign]:
    """Return those of the results folder `root` that ran on such a testbed on this machine."""
    places = [Results(root, name) for name in names_in(root)]
    places.sort(key=lambda one: one.ledger_path.stat().st_mtime, reverse=True)
    return [one for place in places[:NEWEST] if (one := _earlier(place, testbed))]


def _earlier(results: Results, testbed: str) -> EarlierCampaign | None:
    """Return what a campaign tells; None where it is another testbed's, or can't be read."""
    try:
        history = history_of(results.ledger_path)
        if history.head is None or history.config["testbed"]["kind"] != testbed:
            return None
        ended = sorted(one.ended for one in _runs(history) if _here(one))
    except (CampaignError, KeyError, TypeError):
        return None
    steps = [later - before for before, later in pairwise(ended)]
    if not steps:
        return None
    size = sum(file.stat().st_size for file in results.folder.rglob("*") if file.is_file())
    return EarlierCampaign(
        history.config["name"],
        history.group.key.get(WORKLOAD, ""),
        len(ended),
        statistics.median(steps),
        size / len(ended),
    )


def _runs(history: History) -> Iterator[TrialRecord]:
    """Yield every run that was judged, in whatever way it ended."""
    for record in (*history.final(), *history.earlier_attempts()):
        yield from record.replicates or (record,)
        yield from record.held_out


def _here(record: TrialRecord) -> bool:
    return record.provenance.host_name in ("", platform.node())


def estimate_lines(
    root: Path, earlier: Sequence[EarlierCampaign], *, runs: int, workload_hash: str, testbed: str
) -> Iterator[str]:
    """Yield about how long so many `runs` take and how large they get, and how that is known.

    Campaigns with the same jobs count alone, if there are any.
    """
    if not earlier:
        yield f"time       not known: {root} has no campaign on testbed={testbed} of this machine"
        return
    same = [one for one in earlier if one.workload_hash == workload_hash]
    known = same or earlier
    trials = sum(one.runs for one in known)
    campaigns = "1 campaign" if len(known) == 1 else f"{len(known)} campaigns"
    jobs = "of the same jobs" if same else "of other jobs, so that it may be far off"
    low = min(one.pace_s for one in known)
    high = max(one.pace_s for one in known)
    yield f"time       {_between(low * runs, high * runs)}, by {trials} runs in {campaigns} {jobs}"
    largest = max(one.bytes_each for one in known) * runs / MIB
    yield f"disk       up to {math.ceil(largest)} MiB of results, by the same; MLflow's aside"


def _between(low: float, high: float) -> str:
    least = duration_text(low)
    most = duration_text(high)
    return f"about {least}" if least == most else f"{least} to {most}"
