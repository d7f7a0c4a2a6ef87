"""What a ladder of testbeds foretold and saved, in sentences and as a section of the report."""

import math
from collections.abc import Iterator

from campaign.analysis.front.correlation import FEWEST_TRIALS
from campaign.analysis.front.ladder import LadderFindings, RungCorrelation
from campaign.core.durations import duration_text
from campaign.report.sections import Section, Table

HEADING = "What did the simulation foretell?"


def ladder_lines(found: LadderFindings | None) -> Iterator[str]:
    """Yield it in few lines, for the end of a campaign; none without a ladder."""
    if found is None:
        return
    yield _saved(found)
    if all(math.isnan(one.value) for one in found.correlations):
        yield (
            f"How well the simulation foretold them can't be told over {_points(found)}: it takes "
            f"{FEWEST_TRIALS}, and values that differ."
        )
        return
    ranks = ", ".join(f"{one.objective} {_correlation(one)}" for one in found.correlations)
    yield f"Rank correlation with the simulation, over {_points(found)}: {ranks}."


def ladder_sections(found: LadderFindings | None) -> Iterator[Section]:
    """Yield it as a section, where there is a ladder."""
    if found is None:
        return
    rows = tuple((one.objective, _correlation(one)) for one in found.correlations)
    heading = f"rank correlation, 90 % interval, over {_points(found)}"
    yield Section(
        HEADING,
        (
            _saved(found),
            Table(("objective", heading), rows),
            "The points are those that looked best in simulation, which may agree with it less "
            "than points at random would. All that is shown elsewhere is of trials alone, none of "
            "simulated points.",
        ),
    )


def _saved(found: LadderFindings) -> str:
    text = (
        f"{found.rehearsed} points were tried in simulation in {duration_text(found.rehearsal_s)}, "
        f"{found.promoted} of them in trials too"
    )
    if not found.spared or found.spared_s <= 0:
        return f"{text}."
    took = duration_text(found.spared_s)
    return f"{text}; trials of the other {found.spared} would have taken {took} more."


def _points(found: LadderFindings) -> str:
    return "1 point" if found.promoted == 1 else f"{found.promoted} points"


def _correlation(one: RungCorrelation) -> str:
    if math.isnan(one.value):
        return f"not to be told (it takes {FEWEST_TRIALS} points, and values that differ)"
    return f"{one.value:+.2f} ({one.low:+.2f} to {one.high:+.2f})"
