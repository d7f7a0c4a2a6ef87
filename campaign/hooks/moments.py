"""The moments at which hooks are called: before and after each phase, and when one has failed."""

from fnmatch import fnmatchcase
from itertools import product

from campaign.core.phases import TIMED

BEFORE = "before"
AFTER = "after"
FAILURE = "failure"
WHENS = (BEFORE, AFTER, FAILURE)
CAMPAIGN = "campaign"
IMAGES = "campaign.images"
SEARCH = "campaign.search"
CONCLUSION = "campaign.conclusion"
TRIAL = "trial"
CLUSTER = "cluster"
SUBJECTS = (
    CAMPAIGN,
    IMAGES,
    SEARCH,
    CONCLUSION,
    TRIAL,
    *(f"{CLUSTER}.{phase.value}" for phase in TIMED),
)
"""What a moment is a moment of: the campaign and its phases, a trial, the phases of its cluster."""
MOMENTS = tuple(f"{subject}.{when}" for subject, when in product(SUBJECTS, WHENS))


def meant_by(pattern: str) -> frozenset[str]:
    """Return the moments that a setting names, `*` standing for any text; none for nonsense."""
    return frozenset(moment for moment in MOMENTS if fnmatchcase(moment, pattern))


def of_trials(moment: str) -> bool:
    """Return whether a moment is one of a trial, to which a hook may add something."""
    return not moment.startswith(CAMPAIGN)
