"""Damaged ledgers: each is read as it was written, or refused by its line."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign.core.errors import LedgerError
from campaign.records.ledger import Ledger, history_of
from tests.fuzz.mutators import mutated

DEEP = (1_000, 200_000)
ODD: tuple[Any, ...] = (None, True, -1, 2**70, 1e308, float("nan"), "", "\0", "x" * 9999, [], {})


def _whole(path: Path) -> bytes:
    with Ledger(path) as ledger:
        ledger.append("campaign", id="a", name="n", images={}, config={}, workload_hash="h")
        for number in range(3):
            ledger.append("asked", trial=number, point={"cluster.nodes": 2}, attrs={})
            ledger.append("started", trial=number, attempt=1)
    return path.read_bytes()


def _without_checksums(content: bytes) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in content.splitlines()]
    return [{k: v for k, v in event.items() if k not in ("n", "hash")} for event in events]


def _odd_value(draw: random.Random, content: bytes) -> bytes:
    """Return a ledger of an earlier version, in which one value is another."""
    events = _without_checksums(content)
    event = draw.choice(events)
    key = draw.choice(list(event))
    if draw.random() < 0.2:
        del event[key]
    else:
        event[key] = draw.choice(ODD)
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


def _deep(draw: random.Random, content: bytes) -> bytes:
    depth = draw.choice(DEEP)
    opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}")))
    nested = b'{"event":' + opening * depth + b"1" + closing * depth + b"}\n"
    return draw.choice((nested + content, content + nested))


def prepared(folder: Path) -> Callable[[random.Random, int], bool]:
    """Return the case of this family: it tells whether the ledger was read."""
    content = _whole(folder / "whole.jsonl")
    path = folder / "ledger.jsonl"

    def case(draw: random.Random, _number: int) -> bool:
        damage = draw.choice((mutated, mutated, _odd_value, _odd_value, _deep))
        path.write_bytes(damage(draw, content))
        try:
            history_of(path)
        except LedgerError as error:
            assert str(path) in str(error) or str(path.parent) in str(error)
            return False
        with Ledger(path) as ledger:
            ledger.append("resumed")
        history_of(path)
        return True

    return case
