"""Ten thousand broken traces: each gives a sound workload or an explanation, and soon."""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from campaign.core.errors import WorkloadError
from campaign.core.jobs import Workload
from tests.fuzz.mutators import mutated
from tests.fuzz.traces import BATSIM, SWF, assert_sound, batsim, swf

INPUTS = 5000  # of each format
CPU_S = 5.0  # that one input may take before it counts as a hang


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


def outcome(parse: Callable[[bytes], Workload], content: bytes) -> Workload | str:
    """The workload, or how it was refused."""
    with limited(CPU_S):
        try:
            return parse(content)
        except WorkloadError as error:
            return str(error)
        except BaseException as error:
            raise AssertionError(f"neither read nor explained: {content!r}") from error


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
