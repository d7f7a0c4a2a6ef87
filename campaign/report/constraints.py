"""Constraints that no trial meets: which ones, and how near the best trial came."""

from collections.abc import Mapping, Sequence

from campaign.core.trials import TrialRecord
from campaign.report.facts import number
from campaign.schema.search import Bound
from search.constraints import IMPOSSIBLE, Limit, limits_among
from search.pareto import feasible


def unmet(records: Sequence[TrialRecord], constraints: Mapping[str, Bound]) -> str:
    """Say why no trial is feasible; empty where one is, and where none is valid.

    Each limit is named that no valid trial keeps to, with the value that came nearest. Where each
    limit is kept by some trial, but all of them by none, all are named.
    """
    valid = [record for record in records if record.valid]
    limits = limits_among(constraints, records)
    if not limits or not valid or any(feasible(record, limits) for record in valid):
        return ""
    by_none = [limit for limit in limits if not any(limit.kept(record.metrics) for record in valid)]
    lines = [_nearest(limit, valid) for limit in by_none or limits]
    what = "this constraint" if len(lines) == 1 else "these constraints"
    together = "" if by_none else " all at once (some trial meets each of them)"
    return f"no trial meets {what}{together}: {'; '.join(lines)}"


def said(constraints: Mapping[str, Bound]) -> str:
    """Return the constraints as one sentence of the report says them."""
    return "; ".join(f"{name} {_bounds(bound)}" for name, bound in constraints.items())


def _bounds(bound: Bound) -> str:
    parts = [
        f"{sign} {number(value)}{of}"
        for sign, of, value in (
            ("\u2265", "", bound.min),
            ("\u2264", "", bound.max),
            ("\u2265", " x baseline", bound.min_x_baseline),
            ("\u2264", " x baseline", bound.max_x_baseline),
        )
        if value is not None
    ]
    return " and ".join(parts)


def _nearest(limit: Limit, valid: Sequence[TrialRecord]) -> str:
    if abs(limit.value) == IMPOSSIBLE:
        return f"{limit.setting} (the baseline has no value)"
    what = limit.setting if limit.metric in limit.setting else f"{limit.setting}, {limit.metric}"
    by_baseline = f", here {number(limit.value)}" if "_x_baseline" in limit.setting else ""
    measured = [record for record in valid if limit.metric in record.metrics]
    if not measured:
        return f"{what}{by_baseline} (no trial has a value)"
    best = min(measured, key=lambda record: limit.violation(record.metrics))
    nearest = number(best.metrics[limit.metric])
    return f"{what}{by_baseline} (the nearest is {nearest}, of trial {best.number})"
