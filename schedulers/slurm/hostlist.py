"""Expands Slurm's lists of names: `n[001-128,200],login1`.

Why no library does it: python-hostlist is under the GPL, and ClusterShell's NodeSet reads `@`, `!`,
`&` and `^` as operators, which Slurm doesn't.
"""

import re
from itertools import product
from math import prod

MOST_NODES = 65_533
"""More names than a cluster of Slurm's has nodes are refused."""
PART = re.compile(r"\[([^\[\]]*)\]|([^\[\],]+)")
NAMES = re.compile(r"(?:\[[^\[\]]*\]|[^\[\],])+")
RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


def expanded(text: str) -> list[str]:
    """Return the names in a list of Slurm's, in its order; ValueError for what is none."""
    names: list[str] = []
    end = 0
    while end < len(text):
        found = NAMES.match(text, end)
        if found is None:
            raise ValueError(f"{text[end:]!r} is no list of names")
        names += _names(found[0], MOST_NODES - len(names))
        end = found.end()
        if end < len(text):
            if text[end] != "," or end + 1 == len(text):
                raise ValueError(f"{text[end:]!r} is no list of names")
            end += 1
    return names


def _names(text: str, most: int) -> list[str]:
    """Return the names of one list without a comma outside of brackets."""
    parts = [[plain] if plain else _numbers(ranges, most) for ranges, plain in PART.findall(text)]
    if prod(map(len, parts)) > most:
        raise ValueError(f"more than {MOST_NODES} names")
    return ["".join(name) for name in product(*parts)]


def _numbers(text: str, most: int) -> list[str]:
    """Return the numbers of `001-128,200`, as wide as the first of their range."""
    numbers: list[str] = []
    for part in text.split(","):
        found = RANGE.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is no range of numbers")
        first = found[1]
        last = found[2] or first
        count = int(last) - int(first) + 1
        if count < 1:
            raise ValueError(f"{part!r} ends before it begins")
        if len(numbers) + count > most:
            raise ValueError(f"more than {MOST_NODES} names")
        numbers += [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return numbers
