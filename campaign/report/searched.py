"""How sure the front's values are on the instances that the search saw, in words."""

import math
from collections.abc import Iterator

from campaign.analysis.front.resampling import Bootstrap
from campaign.analysis.front.searched import SearchedFindings, SearchedValue
from campaign.report.facts import number, signed_percent

ALIKE = "\u2248"
"""How tables mark the points that a point can't be told from."""


def interval_texts(found: SearchedValue) -> tuple[str, str]:
    """Return the intervals of a value and of its change; each is empty where there is none."""
    own = found.value
    changed = found.change
    value = "" if math.isnan(own.low) else f"{number(own.low)} to {number(own.high)}"
    if math.isnan(changed.low):
        return value, ""
    low, high = (signed_percent(end) for end in (changed.low, changed.high))
    return value, f"{low.removesuffix(' %')} to {high}"


def searched_sentences(found: SearchedFindings) -> Iterator[str]:
    """Yield what the intervals and marks of a table mean, or why there are none."""
    if not found.has_intervals:
        yield (
            f"the {found.instances} workloads that the search saw are too few for intervals: "
            f"workload.instances={Bootstrap().fewest} gives them"
        )
        return
    yield (
        f"a to b: 90 % interval over the {found.instances} workloads that the search saw "
        "(bootstrap, paired with the baseline); it chose these points there, which flatters them"
    )
    if any(point.alike for point in found.points):
        yield (
            f"{ALIKE} n: not to be told from trial n: the interval of their difference includes "
            "zero in every objective"
        )
