"""Damage of ledger and results: refused with one message, or what follows is as if it weren't."""

import random

import pytest

from campaign.execution.verify import damages_of
from tests.fakes.commands import SMALL
from tests.unit.campaign.faults import damages
from tests.unit.campaign.faults.conftest import MORE, Data

# What commands are forked from compiles the simulation first, which takes as long as it takes.
pytestmark = pytest.mark.timeout(900)


def content_of(folder):
    """Each file below a folder, but for the log, which a refused command may add to, and for a
    ledger that it was about to begin."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size and "logs" not in path.parts
    }


REPORT = ("report", "a")
RESUME = ("search", *SMALL, f"search.trials={MORE}")


def both(commands, place):
    """A report and a resume, one after the other."""
    return commands.run_each([REPORT, RESUME], at=place, setup=[("untracked",)])


@pytest.mark.parametrize("kind", damages.REFUSED)
def test_what_cannot_be_trusted_is_refused(commands, place, kind):
    damage, said = damages.REFUSED[kind]
    damage(place / "results/a")
    before = content_of(place)
    looked = [("list",), ("verify", "a")]
    report, resume, listed, verified = commands.run_each(
        [REPORT, RESUME, *looked], at=place, setup=[("untracked",)]
    )
    report.assert_refused(said)
    resume.assert_refused(said)
    assert content_of(place) == before
    listed.assert_no_bug()
    assert verified.status == 2 and "Traceback" not in verified.said


@pytest.mark.parametrize("kind", damages.HARMLESS)
def test_what_is_derived_or_was_never_there_costs_nothing(commands, place, undisturbed, kind):
    damages.HARMLESS[kind](place / "results/a")
    for done in both(commands, place):
        done.assert_no_bug()
        assert done.status == 0, done.said
    assert Data.at(place) == undisturbed.extended


@pytest.mark.parametrize("kind", damages.TOLD)
def test_what_is_lost_is_said_and_stops_nothing(commands, place, undisturbed, kind):
    damage, said = damages.TOLD[kind]
    damage(place / "results/a")
    for done in both(commands, place):
        done.assert_no_bug()
        assert done.status == 0 and said in done.said, done.said
    assert Data.at(place).trials == undisturbed.extended.trials


@pytest.mark.parametrize("kind", damages.REPORT_REFUSED)
def test_what_is_needed_at_the_end_is_named(commands, place, undisturbed, kind):
    damage, said = damages.REPORT_REFUSED[kind]
    damage(place / "results/a")
    for done in both(commands, place):
        done.assert_refused(said)
    kept = Data.at(place).trials
    assert kept == undisturbed.extended.trials[: len(kept)]


@pytest.mark.parametrize("name", ["ledger.jsonl", damages.A_JOBS_TABLE, "workload.parquet"])
def test_verify_finds_a_flipped_bit_anywhere(place, pytestconfig, name):
    """As `hpc-campaign verify` looks; the readers below it are held to ten times as many flips."""
    path = place / "results/a" / name
    whole = path.read_bytes()
    draw = random.Random(7)
    for _ in range(pytestconfig.getoption("flips") // 10):
        bit = draw.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert path in [one.path for one in damages_of(place / "results", "a")], bit
