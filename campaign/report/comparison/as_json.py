"""The comparison of two trials as JSON values, for other programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from campaign.analysis.arm import Arm
from campaign.analysis.compare import Comparison, JobChange
from campaign.analysis.fairness import ManifestEntry
from campaign.analysis.fairness import plain as plain_rows
from campaign.report.facts import in_virtual_time, simulated


def plain(found: Comparison, fairness: Sequence[ManifestEntry] = ()) -> dict[str, Any]:
    """Return the comparison as JSON values.

    Pairs are of the first and the second arm, differences the second minus the first. Times are
    seconds, null where there is no number. `per_job` has every job that ended in both, the greatest
    gain first.
    """
    split = {**found.totals, "response": found.response_s}
    return {
        "arms": [_arm(arm, own) for arm, own in zip(found.arms, found.accounts, strict=True)],
        "jobs": found.jobs,
        "ended": found.ended,
        "started_only_in": [list(jobs) for jobs in found.only],
        "metrics": {
            name: _metric(found, name, values)
            for name, values in {**found.metrics, **found.lone}.items()
        },
        "divergence": asdict(found.divergence) if found.divergence else None,
        "placement": asdict(found.placement) if found.placement else None,
        "split": {name: _phase(pair, found.ended) for name, pair in split.items()},
        "per_job": [_job(change) for change in found.changes],
        "differing": {name: list(pair) for name, pair in found.differing.items()},
        "fairness": plain_rows(fairness),
    }


def _arm(arm: Arm, accounts: int) -> dict[str, Any]:
    record = arm.record
    return {
        "name": arm.name,
        "trial": record.number,
        "attempt": record.attempt,
        "outcome": record.outcome,
        "simulated": simulated([record]),
        "virtual_time": in_virtual_time([record]),
        "settings": {**arm.fixed, **record.point},
        "nodes": arm.nodes,
        "slots": arm.slots,
        "tie_s": arm.tie_s,
        "accounts_resolution_s": arm.resolution_s,
        "jobs_with_own_start": accounts,
        "provenance": record.provenance.facts,
    }


def _metric(
    found: Comparison, name: str, values: tuple[float | None, float | None]
) -> dict[str, Any]:
    known = [value is not None and math.isfinite(value) for value in values]
    before, after = (value if ok else None for value, ok in zip(values, known, strict=True))
    difference = None if before is None or after is None else after - before
    return {
        "objective": found.objectives.get(name),
        "values": [before, after],
        "difference": difference,
        "percent": 100 * difference / abs(before) if difference is not None and before else None,
        "absent": [
            None if ok else arm.record.absent.get(name)
            for arm, ok in zip(found.arms, known, strict=True)
        ],
    }


def _phase(totals: tuple[float, float], jobs: int) -> dict[str, Any]:
    change = totals[1] - totals[0]
    return {
        "total_s": list(totals),
        "mean_s": [total / jobs if jobs else None for total in totals],
        "total_difference_s": change,
        "mean_difference_s": change / jobs if jobs else None,
    }


def _job(change: JobChange) -> dict[str, Any]:
    return {
        "job": change.job,
        "width": change.width,
        "response_s": list(change.response_s),
        "gained_s": change.gained_s,
        "split": list[Mapping[str, float]](change.split),
    }
