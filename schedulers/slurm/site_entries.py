"""Lines of slurm.conf that describe something: what they say, and what DEFAULT said before them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from schedulers.slurm.conf_file import ConfPair
from schedulers.slurm.site_notes import Notes


@dataclass(frozen=True)
class LineKeys:
    """Which keys of a kind of line are understood, and which decide though they aren't."""

    understood: frozenset[str]
    decide: frozenset[str]


@dataclass(frozen=True)
class Entry:
    """A line: its first pair, and what holds for what it names, by key in lower case."""

    head: ConfPair
    values: Mapping[str, ConfPair]

    def pair(self, *keys: str) -> ConfPair | None:
        """Return the first of the pairs of these keys that is there."""
        return next((self.values[key] for key in keys if key in self.values), None)

    def text(self, key: str, otherwise: str = "") -> str:
        """Return a value in lower case."""
        pair = self.values.get(key)
        return pair.value.lower() if pair else otherwise


DESCRIBED = ("nodename", "nodeset", "partitionname", "downnodes")
"""What lines begin with that describe one thing of many."""


def beside_described(pairs: Iterable[ConfPair]) -> Iterator[ConfPair]:
    """Yield the pairs of slurm.conf that hold for the whole cluster."""
    described = False
    for pair in pairs:
        if pair.first:
            described = pair.key.lower() in DESCRIBED
        if not described:
            yield pair


def entries(pairs: Iterable[ConfPair], kind: str, keys: LineKeys, notes: Notes) -> Iterator[Entry]:
    """Yield the lines that begin with key `kind`, but DEFAULT's; note a verdict on each pair."""
    default: dict[str, ConfPair] = {}
    for line in _lines(pairs, kind):
        own = {pair.key.lower(): pair for pair in line}
        for pair in line:
            _note(pair, own[pair.key.lower()], keys, notes)
        if line[0].value.upper() == "DEFAULT":
            default |= own
        else:
            yield Entry(line[0], default | own)


def _lines(pairs: Iterable[ConfPair], kind: str) -> Iterator[list[ConfPair]]:
    line: list[ConfPair] = []
    for pair in pairs:
        if pair.first:
            if line:
                yield line
            line = []
        if line or (pair.first and pair.key.lower() == kind):
            line.append(pair)
    if line:
        yield line


def _note(pair: ConfPair, last: ConfPair, keys: LineKeys, notes: Notes) -> None:
    key = pair.key.lower()
    if pair is not last:
        notes.add(pair, "other", "its line says it anew")
    elif key in keys.understood:
        notes.add(pair, "cluster")
    else:
        notes.add(pair, "missing" if key in keys.decide else "other")
