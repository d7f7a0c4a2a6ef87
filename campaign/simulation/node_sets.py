"""Sets of nodes as bits of whole numbers, so that a step takes dozens of nodes at once. Compiled.

A set is an array of words; node i is bit i % BITS of word i // BITS.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.compiled import ONE, ZERO, lean

Words = NDArray[np.int64]
BITS: Any = np.int64(62)
"""Nodes in a word: the sum of a word and a bit of it still is a positive number."""
PAIRS: Any = np.int64(0x5555_5555_5555_5555)
FOURS: Any = np.int64(0x3333_3333_3333_3333)
EIGHTS: Any = np.int64(0x0F0F_0F0F_0F0F_0F0F)
COUNTED: Any = np.int64(0x7F)
SHIFTS: Any = tuple(np.int64(1 << power) for power in range(1, 6))
TWO, FOUR, EIGHT, SIXTEEN, HALF = SHIFTS
"""Masks and shifts by which bits are counted."""


@lean
def words_for(nodes: int) -> int:
    """Return how many words a set of so many nodes has."""
    return (nodes + BITS - ONE) // BITS


@lean
def include(words: Words, node: int) -> None:
    """Put the node into the set."""
    words[node // BITS] |= ONE << (node % BITS)


@lean
def has(words: Words, node: int) -> bool:
    """Return whether the node is in the set."""
    return (words[node // BITS] >> (node % BITS)) & ONE == ONE


@lean
def count_word(word: int) -> int:
    """Return how many nodes a word has."""
    found: int = word - ((word >> ONE) & PAIRS)
    found = (found & FOURS) + ((found >> TWO) & FOURS)
    found = (found + (found >> FOUR)) & EIGHTS
    found += found >> EIGHT
    found += found >> SIXTEEN
    found += found >> HALF
    return found & COUNTED


@lean
def count_common(some: Words, others: Words) -> int:
    """Return how many nodes are in both sets."""
    found = ZERO
    for place in range(some.size):
        found += count_word(some[place] & others[place])
    return found


@lean
def meet(some: Words, others: Words) -> bool:
    """Return whether a node is in both sets."""
    for place in range(some.size):
        if some[place] & others[place]:
            return True
    return False


@lean
def runs_of_common(some: Words, others: Words, first: Words, length: Words) -> int:
    """Find the runs of neighbours among the nodes that are in both sets; return their number.

    Run i begins at node `first[i]` and has `length[i]` of them.
    """
    runs = ZERO
    end = -ONE
    for place in range(some.size):
        word = some[place] & others[place]
        begin = place * BITS
        while word != ZERO:
            lowest = word & -word
            rest = word & (word + lowest)
            size = count_word(word ^ rest)
            node = begin + count_word(lowest - ONE)
            if node == end:
                length[runs - 1] += size
            else:
                first[runs] = node
                length[runs] = size
                runs += 1
            end = node + size
            word = rest
    return runs
