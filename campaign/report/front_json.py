"""What is known of a front for programs: results/NAME/front.json."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from campaign.analysis.front.findings import FrontFindings
from campaign.analysis.front.holdout import HoldoutFindings
from campaign.core.printable import json_text
from campaign.report.result import CampaignResult

DIGITS = 12
"""The last digits of a computed figure are those of a machine's libraries."""


def front_json(result: CampaignResult, found: FrontFindings) -> str:
    """Return the file's text: the same for the same records, on whatever machine."""
    return f"{json_text(plain_front(result, found), indent=1)}\n"


def plain_front(result: CampaignResult, found: FrontFindings) -> dict[str, Any]:
    """Return what the file says as values of JSON; what has no number is null.

    `searched` are the front's values with their intervals over the instances that the search saw,
    `unseen` the changes on those that were held out, `ladder` what trying points in simulation
    first came to; each is null where there was none. `known_outcomes` are the trials whose outcome
    an earlier one had.
    """
    whole: dict[str, Any] = _numbers(
        {
            **_findings(found),
            "searched": asdict(result.searched) if result.searched else None,
            "known_outcomes": [asdict(one) for one in result.known.values()],
            "unseen": _unseen(result.unseen) if result.unseen else None,
            "ladder": asdict(result.ladder) if result.ladder else None,
        }
    )
    return whole


def _findings(found: FrontFindings) -> dict[str, Any]:
    values = asdict(found)
    values["chosen"] = found.chosen.number if found.chosen else None
    if found.volume:
        values["volume"] = _volume(values["volume"])
    return values


def _unseen(found: HoldoutFindings) -> dict[str, Any]:
    points = [
        {
            "trial": one.record.number,
            "changes": {name: asdict(change) for name, change in one.changes.items()},
        }
        for one in found.points
    ]
    return {"instances": found.instances, "points": points}


def _volume(values: dict[str, Any]) -> dict[str, Any]:
    """Return a volume's history with the trials that raised it, and not all others."""
    reached = {f"{share:g}": trial for share, trial in values.pop("reached").items()}
    history = list(zip(values.pop("trials"), values.pop("volumes"), strict=True))
    raised = dict(history[:1]) | {
        trial: volume for (_, before), (trial, volume) in pairwise(history) if volume > before
    }
    return {"after_trial": raised, **values, "reached": reached}


def _numbers(value: Any) -> Any:
    """Return a value of JSON with null in the place of what is no finite number."""
    if isinstance(value, Mapping):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
