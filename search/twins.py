"""Settings that change nothing: how likely a point comes out exactly as one that is known.

Many settings of schedulers matter only together with others, or for other jobs. A point that
differs from a known one in nothing but such settings is hardly worth a trial. What is counted are
pairs of trials: those with the same outcome speak for each setting in which they differ, and those
with different outcomes against the one in which they differ.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SAME = 0.2
PAIRS = 1.0
"""What is assumed of a setting before there are pairs: how many had the same outcome, of these."""


class Twins:
    """Tells how likely points come out as known ones.

    `places` has the known points as rows and the settings as columns, and `outcomes` has as rows
    what they gave. Numbers are compared for being the same only.
    """

    def __init__(self, places: Floats, outcomes: Floats) -> None:
        self._places = places
        differ = _differ(places, places)
        same = (outcomes[:, None] == outcomes[None]).all(axis=2)[:, :, None]
        single = (differ.sum(axis=2) == 1)[:, :, None]
        # Each pair stands twice.
        alike = (differ & same).sum(axis=(0, 1)) / 2
        apart = (differ & ~same & single).sum(axis=(0, 1)) / 2
        self._chances = (alike + SAME * PAIRS) / (alike + apart + PAIRS)

    def chances(self, places: Floats) -> Floats:
        """Return the chance of each point to be the twin of a known one."""
        log = _differ(places, self._places) @ np.log(self._chances)
        found: Floats = np.exp(log.max(axis=1))
        return found


def _differ(some: Floats, others: Floats) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = some[:, None] != others[None]
    return found
