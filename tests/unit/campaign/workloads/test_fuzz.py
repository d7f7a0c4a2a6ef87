"""Ten thousand broken traces: each gives a sound workload or an explanation, and soon."""

import io
import random
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from campaign.core.errors import WorkloadError
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.workloads.batsim import parse_batsim
from campaign.workloads.swf import parse_swf

INPUTS = 5000  # of each format
CPU_S = 5.0  # that one input may take before it counts as a hang
FILE = Path("fuzz")

SWF = (
    b"; Version: 2.2\n; MaxProcs: 128\n; UnixStartTime: 870000000\n; Note: made up\n"
    b"1 0 5 10 2 -1 -1 2 60 -1 1 3 1 -1 1 1 -1 -1\n2 30 0 5.5 4 -1 -1 4 -1 -1 1 4 1 -1 1 1 -1 -1\n"
    b"; in between\n3 20 -1 0 1 -1 -1 -1 7 -1 1 -1 1 -1 1 1 -1 -1\n",
    b"  1\t  0   5  10   2 -1 -1   2   60 -1 1   3 1 -1 1 1 -1 -1  9 9 9\r\n"
    b"  1\t 10   5  99  64 -1 -1  64   60 -1 0  -1 1 -1 1 1 -1 -1  9 9 9\r\n",
    b"\n".join(b"%d %d -1 3 1 -1 -1 1 9 -1 1 1 1 -1 1 1 -1 -1" % (n, n * 7) for n in range(1, 12)),
)
BATSIM = (
    b'{"nb_res": 8, "jobs": [{"id": 1, "subtime": 0, "res": 2, "profile": "a", "walltime": 60},'
    b' {"id": 2, "subtime": 10.5, "res": 8, "profile": "b"}, {"id": 3, "subtime": 4, "res": 1, '
    b'"profile": "c"}],'
    b' "profiles": {"a": {"type": "delay", "delay": 10}, "b": {"type": "delay", "delay": 0.5},'
    b' "c": {"type": "parallel_homogeneous", "cpu": 1e6, "com": 0}}}',
    b'{"jobs":[{"id":"w0!12","subtime":5,"res":1,"walltime":-1,"profile":"x"},'
    b'{"id":"a!3","subtime":1,"res":4,"profile":"x"}],"profiles":{"x":{"type":"delay","delay":7}}}',
)
NUMBERS = (
    *(
        b"nan",
        b"-inf",
        b"Infinity",
        b"NaN",
        b"1e999",
        b"1e400",
        b"-1e308",
        b"1e308",
        b"1e-320",
        b"-0",
        b"-0.0",
        b"+3",
    ),
    *(
        b".5",
        b"0",
        b"-1",
        b"-2",
        b"00",
        b"1.",
        b"1e5",
        b"1e18",
        b"2147483647",
        b"2147483648",
        b"-2147483649",
    ),
    *(
        b"4294967296",
        b"4294967297",
        b"9007199254740993",
        b"9223372036854775808",
        b"18446744073709551616",
        b"2.5",
    ),
    *(b"5", b"12", b"0.25", b"1e3", b"-7.5", b"1000000", b"3", b"64"),
    *(b"9" * 400, b"9" * 5000, b"0x1f", b"1_0", "\u0661\u0662".encode(), "\uff11".encode()),
)
TOKENS = (
    *(
        b"\x00",
        b"\xff\xfe",
        b"\x1f\x8b",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\t",
        b"\v",
        b"\f",
        b" ",
        b";",
        b"; ",
        b"#",
    ),
    *(
        "\u2028".encode(),
        "\u00a0".encode(),
        "\x85".encode(),
        b"\xef\xbb\xbf",
        b"; MaxProcs: -5\n",
        b"; MaxNodes: 1e9\n",
    ),
    *(
        b"[" * 3000,
        b'{"a":' * 3000,
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"'",
        b",",
        b":",
        b"\\",
        b"\\ud800",
        b"null",
        b"true",
    ),
    *(b'"delay"', b'"id"', b'"res"', b'"1"', b'"a"', b"[]", b"{}", b'""'),
)


def mutated(draw: random.Random, content: bytes) -> bytes:
    """The content after one to three accidents."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        content = draw.choice(ACCIDENTS)(draw, content)
    return content


def span(draw: random.Random, content: bytes) -> tuple[int, int]:
    begin = draw.randint(0, len(content))
    return begin, min(len(content), begin + draw.choice((1, 2, 5, 20, 100)))


def flip(draw: random.Random, content: bytes) -> bytes:
    begin, _ = span(draw, content)
    return (
        content[:begin]
        + bytes(each ^ (1 << draw.randrange(8)) for each in content[begin : begin + 1])
        + content[begin + 1 :]
    )


def delete(draw: random.Random, content: bytes) -> bytes:
    begin, end = span(draw, content)
    return content[:begin] + content[end:]


def double(draw: random.Random, content: bytes) -> bytes:
    begin, end = span(draw, content)
    return content[:end] + content[begin:end] * draw.choice((1, 1, 3)) + content[end:]


def insert(draw: random.Random, content: bytes) -> bytes:
    begin, _ = span(draw, content)
    return content[:begin] + draw.choice(NUMBERS + TOKENS) + content[begin:]


def replace_value(draw: random.Random, content: bytes) -> bytes:
    """Put a number, or now and then anything, in the place of a number or word."""
    words = list(re.finditer(rb'[^\s,:{}"\[\]]+', content))
    if not words:
        return content
    begin, end = draw.choice(words).span()
    return content[:begin] + draw.choice(NUMBERS + NUMBERS + TOKENS) + content[end:]


def cut(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randint(0, len(content))]


ACCIDENTS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(flip, delete, double, insert, cut),
    *(replace_value, replace_value, replace_value, replace_value),
)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Fail when the block takes more CPU time; its own signal, since SIGALRM is
    pytest-timeout's."""

    def hang(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def assert_sound(workload: Workload) -> None:
    """Says again what a workload is, without the code that is tested."""
    table = workload.table
    assert table.schema == WORKLOAD_SCHEMA
    assert sum(column.null_count for column in table.columns) == 0
    number, arrival, width, runtime, requested, user = (
        column.to_numpy() for column in table.columns
    )
    assert (
        np.isfinite(arrival).all() and np.isfinite(runtime).all() and np.isfinite(requested).all()
    )
    assert len(workload) >= 1 and arrival[0] == 0 and (np.diff(arrival) >= 0).all()
    assert (
        (width >= 1).all()
        and (runtime > 0).all()
        and (requested >= runtime).all()
        and (user >= 0).all()
    )
    assert np.unique(number).size == number.size and (number >= 0).all()
    assert max(arrival[-1] + requested.max(), 0) * 1e9 < 2**63
    assert workload.machine_slots is not None and 1 <= workload.machine_slots < 2**31
    assert all(isinstance(text, str) and text.isprintable() for text in workload.notes.values())


def outcome(parse: Callable[[bytes], Workload], content: bytes) -> Workload | str:
    """The workload, or how it was refused."""
    with limited(CPU_S):
        try:
            return parse(content)
        except WorkloadError as error:
            return str(error)
        except BaseException as error:
            raise AssertionError(f"neither read nor explained: {content!r}") from error


def swf(content: bytes) -> Workload:
    return parse_swf(io.BytesIO(content), file=FILE)


def batsim(content: bytes) -> Workload:
    return parse_batsim(content, file=FILE)


@pytest.mark.parametrize(("parse", "seeds"), [(swf, SWF), (batsim, BATSIM)])
def test_broken_traces_give_sound_workloads_or_explanations(
    parse: Callable[[bytes], Workload], seeds: tuple[bytes, ...]
) -> None:
    draw = random.Random(20)
    read = 0
    for _ in range(INPUTS):
        found = outcome(parse, mutated(draw, draw.choice(seeds)))
        if isinstance(found, Workload):
            assert_sound(found)
            read += 1
        else:
            assert found.startswith("fuzz") and len(found) < 1000
    assert INPUTS / 20 < read < INPUTS * 19 / 20


def test_the_quick_way_to_read_numbers_agrees_with_the_exact_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = random.Random(21)
    contents = [mutated(draw, draw.choice(SWF)) for _ in range(INPUTS // 5)]
    quick = [outcome(swf, content) for content in contents]
    monkeypatch.setattr("campaign.workloads.swf._numbers", lambda _text: (None, 0))
    for content, found in zip(contents, quick, strict=True):
        exact = outcome(swf, content)
        if isinstance(found, Workload) and isinstance(exact, Workload):
            assert (found.table, found.notes) == (exact.table, exact.notes), content
        else:
            assert found == exact, content
