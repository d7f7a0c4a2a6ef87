"""The runner of fuzzing: what fails, hangs, fills the memory or dies is a fault with a name."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from campaign.core.errors import CampaignError
from tests.fuzz import runner
from tests.fuzz.families import Family
from tests.fuzz.runner import Tally, run


def prepared(_folder: Path) -> Callable[[random.Random, int], bool]:
    def case(draw: random.Random, number: int) -> bool:
        assert draw.random() == random.Random(f"odd 7 {number}").random()
        if number == 1:
            raise CampaignError("refused in words")
        if number == 2:
            raise CampaignError(" ")
        if number == 3:
            return bytearray(2 * runner.MEMORY)[0] == 0
        if number == 4:
            os.kill(os.getpid(), 9)
        if number == 5:
            while True:
                pass
        return True

    return case


def _family(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from tests.fuzz.families import FAMILIES, Family\n"
        "from tests.fuzz import runner\n"
        "runner.CPU_S = 0.5\n"
        "FAMILIES['odd'] = Family('test_runner', 7, 7)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path.cwd())]))
    monkeypatch.setitem(runner.FAMILIES, "odd", Family("test_runner", 7, 7))


def test_each_kind_of_fault_is_named_and_the_next_case_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _family(monkeypatch, tmp_path)
    found = run("odd", first=0, last=7, seed=7)
    assert (found.tried, found.survived, found.accepted) == (7, 3, 2)
    causes = ("without words", "MemoryError", "status -9", "HangError")
    for number, (fault, cause) in enumerate(zip(found.faults, causes, strict=True), 2):
        assert fault.startswith(f"python -m tests.fuzz odd --seed 7 --first {number} --cases 1")
        assert cause in fault


def test_tallies_add_up() -> None:
    tally = Tally(1, 1, 0, ["a"])
    tally.add(Tally(2, 1, 1, ["b"]))
    assert tally == Tally(3, 2, 1, ["a", "b"])
