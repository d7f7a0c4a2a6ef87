"""Accidents that happen to bytes: what fuzzers change in inputs that were right."""

import random
import re
from collections.abc import Callable

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
