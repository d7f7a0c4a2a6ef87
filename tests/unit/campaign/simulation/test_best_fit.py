"""Which nodes Slurm's default topology gives a job: cases worked out by hand from its sources."""

import numpy as np
import pytest

from campaign.simulation.nodes import BEST_FIT, choose


def chosen(free: list[int], width: int, count: int) -> dict[int, int] | None:
    """The slots that a job gets by node, None where it doesn't fit."""
    nodes = np.zeros(count, np.int32)
    amounts = np.zeros(count, np.int32)
    if not choose(np.array(free, np.int32), width, count, 1, BEST_FIT, nodes, amounts, 0):
        return None
    return dict(zip(nodes.tolist(), amounts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("free", "width", "count", "expected"),
    [
        # The run of one node is tighter than that of three, though its node comes later.
        ([4, 4, 4, 0, 4], 2, 1, {4: 2}),
        # In a run, the node with fewest free slots that are enough.
        ([4, 3, 2, 4], 2, 1, {2: 2}),
        # A node on which the job doesn't fit parts a run.
        ([4, 1, 4, 4], 2, 1, {0: 2}),
        # The smallest run that holds the job, filled from its begin.
        ([4, 4, 4, 0, 4, 4], 6, 2, {4: 4, 5: 2}),
        # No run is large enough: the largest first, then the tightest for the rest.
        ([4, 0, 4, 4, 0, 2, 0], 9, 3, {2: 4, 3: 4, 5: 1}),
        # Each node gets a slot at least.
        ([4, 4, 4], 4, 3, {0: 2, 1: 1, 2: 1}),
        # Nodes with one free slot are left out, where the job doesn't fit with them.
        ([1, 1, 4, 0, 4, 4], 8, 2, {4: 4, 5: 4}),
        ([1, 4, 0, 1, 4], 8, 2, {1: 4, 4: 4}),
        ([1, 1, 1, 0, 2], 4, 2, None),
        # They are left out one by one: with the first, two runs of 8 and 9 slots are left.
        ([4, 4, 0, 1, 4, 4, 1, 0], 12, 3, {0: 4, 4: 4, 5: 4}),
        # Nodes with two are left out once there are none with one.
        ([2, 1, 4, 0, 4, 0, 3], 8, 2, {2: 4, 4: 4}),
    ],
)
def test_the_tightest_run_of_neighbours_is_taken(free, width, count, expected) -> None:
    assert chosen(free, width, count) == expected
