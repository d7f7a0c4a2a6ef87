"""Parts of an array move as a loop over them would move them, compiled and not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from campaign.simulation.compiled import compiled
from campaign.simulation.shifting import shift


@compiled
def _compiled_shift(values: NDArray[np.int64], first: int, last: int, places: int) -> None:
    shift(values, first, last, places)


@pytest.mark.parametrize(
    ("first", "last", "places", "becomes"),
    [
        (1, 4, 2, [0, 1, 2, 1, 2, 3, 6]),
        (2, 7, -1, [0, 2, 3, 4, 5, 6, 6]),
        (3, 3, 2, [0, 1, 2, 3, 4, 5, 6]),
        (5, 3, 1, [0, 1, 2, 3, 4, 5, 6]),
    ],
    ids=["up", "down", "none", "ends-before-it-begins"],
)
def test_a_part_moves_over_itself(first: int, last: int, places: int, becomes: list[int]) -> None:
    for move in (shift, _compiled_shift):
        values = np.arange(7)
        move(values, first, last, places)
        assert values.tolist() == becomes
