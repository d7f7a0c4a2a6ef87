"""Commands that start in no time, and a small campaign that nothing has disturbed."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from campaign.records.ledger import history_of
from campaign.records.results import Results
from tests.fakes.commands import Commands

TRIALS = 4  # of the campaign that is damaged
MORE = 6  # of the same one after a resume


def pytest_generate_tests(metafunc):
    """Leave out the kinds in the test module's RARE, unless all faults are asked for.

    A kind is rare where another one of the table goes the same way through the code.
    """
    table = getattr(metafunc.module, "TABLES", {}).get(metafunc.function.__name__)
    if table:
        rare = () if metafunc.config.getoption("all_faults") else metafunc.module.RARE
        metafunc.parametrize("kind", [kind for kind in table if kind not in rare])


@pytest.fixture(scope="session")
def commands():
    with Commands() as known:
        yield known


@dataclass(frozen=True)
class Data:
    """What a campaign found: each trial's point and metrics, and the jobs of all."""

    trials: list[tuple]
    jobs: pa.Table

    @classmethod
    def at(cls, place: Path, results: str = "results") -> "Data":
        """The data of the campaign in a folder; raises LedgerError where that can't be read."""
        found = Results(place / results, "a")
        records = history_of(found.ledger_path).final()
        return cls(
            [(one.number, one.point, one.outcome, one.metrics) for one in records],
            found.jobs().drop_columns(["attempt"]),
        )


@dataclass(frozen=True)
class Undisturbed:
    """A campaign of TRIALS trials in a folder of its own, and its data after MORE trials."""

    place: Path
    data: Data
    extended: Data


@pytest.fixture(scope="session")
def undisturbed(commands, tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    assert commands.search(TRIALS, at=place, setup=[("untracked",)]).status == 0
    longer = shutil.copytree(place, tmp_path_factory.mktemp("longer") / "place")
    assert commands.search(MORE, at=longer, setup=[("untracked",)]).status == 0
    return Undisturbed(place, Data.at(place), Data.at(longer))


@pytest.fixture
def place(undisturbed, tmp_path):
    """A folder to stand in that has a copy of that campaign's results."""
    return shutil.copytree(undisturbed.place, tmp_path / "place")
