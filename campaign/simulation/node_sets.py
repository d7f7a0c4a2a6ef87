"""Sets of nodes as bits of whole numbers, so that a step takes dozens of nodes at once. Compiled.

A set is an array of words; node i is bit i % BITS of word i // BITS.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from campaign.simulation.compiled import ONE, ZERO, lean

Words = NDArray[np.int64]
BITS: Any = np.int64(62)
"""Nodes in a word: the sum of a word and a bit of it still is a positive number."""


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


def count_word(word: int) -> int:
    """Return how many nodes a word has."""
    return int(word).bit_count()


@intrinsic  # type: ignore[untyped-decorator]
def _ones(_: Any, word: Any) -> Any:
    """Count the bits that are 1, as the processor does."""

    def build(_: Any, builder: Any, __: Any, words: Any) -> Any:
        return builder.ctpop(words[0])

    return word(word), build


@overload(count_word, jit_options={"nogil": True})  # type: ignore[untyped-decorator]
def _compiled_count(word: int) -> Callable[[int], int]:
    def counted(word: int) -> int:
        return _ones(word)

    return counted


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
