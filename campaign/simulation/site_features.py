"""Which nodes a constraint on features means, as Slurm writes them: `ib&big`, `big|old`."""

import re
from collections.abc import Collection, Iterator

_WORD = re.compile(r"[\w.+-]+|[&,|()\[\]]|\*\d+")


def meets(constraint: str, features: Collection[str]) -> bool:
    """Return whether a node with these features meets the constraint.

    Of alternatives in brackets, which all nodes of a job shall share, each counts by itself, and
    numbers of nodes aren't obeyed.
    """
    words = [word for word in _WORD.findall(constraint) if not word.startswith("*")]
    return _Reader(words, set(features)).either()


class _Reader:
    """Reads a constraint from left to right."""

    def __init__(self, words: list[str], features: set[str]) -> None:
        self._words: Iterator[str] = iter(words)
        self._word = next(self._words, "")
        self._features = features

    def either(self) -> bool:
        found = self._both()
        while self._word == "|":
            self._word = next(self._words, "")
            found = self._both() or found
        return found

    def _both(self) -> bool:
        found = self._one()
        while self._word in ("&", ","):
            self._word = next(self._words, "")
            found = self._one() and found
        return found

    def _one(self) -> bool:
        word = self._word
        self._word = next(self._words, "")
        if word not in ("(", "["):
            return word in self._features
        found = self.either()
        self._word = next(self._words, "")
        return found
