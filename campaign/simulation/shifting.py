"""Moves a part of an array by some places, as one block of memory. Compiled."""

from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array
from numpy.typing import NDArray


def shift(values: NDArray[np.int64], first: int, last: int, places: int) -> None:
    """Move the values of the places `first` to `last` (excluded) by so many places.

    It is what a loop over them does, several times as fast.
    """
    if last > first:
        values[first + places : last + places] = values[first:last]


def _moving(typing: Any, values: Any, target: Any, source: Any, count: Any) -> Any:
    """Move `count` values of an array from place `source` on to place `target` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = make_array(signature.args[0])(context, builder, arguments[0])
        to, since, size = arguments[1:]
        cgutils.raw_memmove(
            builder,
            builder.gep(array.data, [to]),
            builder.gep(array.data, [since]),
            size,
            array.itemsize,
        )
        return context.get_dummy_value()

    whole = types.int64
    return types.void(values, whole, whole, whole), generate


_move: Any = intrinsic(_moving)


def _shifting(values: Any, first: Any, last: Any, places: Any) -> Any:
    def moved(values: Any, first: Any, last: Any, places: Any) -> None:
        if last > first:
            _move(values, first + places, first, last - first)

    return moved


overload(shift)(_shifting)
