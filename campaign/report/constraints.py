"""Constraints that no trial meets: which ones, and how near the best trial came."""

from collections.abc import Iterator, Mapping, Sequence

from campaign.core.trials import TrialRecord
from campaign.report.facts import number
from campaign.schema.search import Bound
from search.pareto import feasible


def unmet(records: Sequence[TrialRecord], constraints: Mapping[str, Bound]) -> str:
    """Say why no trial is feasible; empty where one is, and where none is valid.

    Each bound is named that no valid trial keeps to, with the value that came nearest. Where each
    bound is kept by some trial, but all of them by none, all are named.
    """
    valid = [record for record in records if record.valid]
    if not constraints or not valid or any(feasible(record, constraints) for record in valid):
        return ""
    bounds = list(_bounds(constraints))
    by_none = [
        (name, bound)
        for name, bound in bounds
        if not any(feasible(record, {name: bound}) for record in valid)
    ]
    lines = [_nearest(name, bound, valid) for name, bound in by_none or bounds]
    what = "this constraint" if len(lines) == 1 else "these constraints"
    together = "" if by_none else " all at once (some trial meets each of them)"
    return f"no trial meets {what}{together}: {'; '.join(lines)}"


def _bounds(constraints: Mapping[str, Bound]) -> Iterator[tuple[str, Bound]]:
    """Yield each bound by itself, below the name of its metric."""
    for name, bound in constraints.items():
        if bound.max is not None:
            yield name, Bound(max=bound.max)
        if bound.min is not None:
            yield name, Bound(min=bound.min)


def _nearest(name: str, bound: Bound, valid: Sequence[TrialRecord]) -> str:
    kind = "min" if bound.max is None else "max"
    limit = bound.min if bound.max is None else bound.max
    setting = f"search.constraints.{name}.{kind} = {limit:g}"
    measured = [record for record in valid if name in record.metrics]
    if not measured:
        return f"{setting} (no trial has a value)"
    pick = max if bound.max is None else min
    best = pick(measured, key=lambda record: record.metrics[name])
    return f"{setting} (the nearest is {number(best.metrics[name])}, of trial {best.number})"
