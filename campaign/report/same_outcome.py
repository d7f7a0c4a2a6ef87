"""Why trials brought no new outcome, in words."""

from collections.abc import Collection, Iterator

from campaign.analysis.front.same_outcome import SameOutcome, without_difference
from campaign.report.facts import short, shown

NAMED = 4
"""So many settings are named that made no difference by themselves."""


def why_same(found: SameOutcome) -> str:
    """Return of which trial the outcome was known, and which settings changed nothing."""
    if not found.settings:
        return f"the same point as trial {found.earlier}"
    settings = " and ".join(
        f"{short(name)} ({shown(here)}, there {shown(there)})"
        for name, (here, there) in found.settings.items()
    )
    if found.whole:
        return f"the same outcome as trial {found.earlier}: {settings} changed nothing"
    return f"the same objectives as trial {found.earlier}: {settings} changed none of them"


def known_outcomes(found: Collection[SameOutcome], outcomes: int) -> str:
    """Return how many outcomes there were, and what made no difference; empty if all are new."""
    if not found:
        return ""
    brought = "1 brought no new one" if len(found) == 1 else f"{len(found)} brought no new one"
    sentence = f"{outcomes} valid trials had {outcomes - len(found)} outcomes: {brought}"
    named = ", ".join(_named(found))
    return f"{sentence}; what changed nothing by itself: {named}" if named else sentence


def _named(found: Collection[SameOutcome]) -> Iterator[str]:
    settings = without_difference(found)
    for name, count in settings[:NAMED]:
        yield f"{short(name)} in {count}"
    if len(settings) > NAMED:
        yield f"and {len(settings) - NAMED} more settings"
