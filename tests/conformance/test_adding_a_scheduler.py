"""docs/adding-a-scheduler.md, run: its package keeps every promise, and a campaign searches over it
in simulation."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.document import write_tree

PROMISES = """
import schedulers.registry
from campaign.analysis.conformance import OUTCOMES
from schedulers.conformance import PROMISES
from schedulers.registry import adapter, names
from tests.adapters import facts_of
assert "tiny" in names(), names()
for promise in PROMISES:
    promise(adapter("tiny"), facts_of(adapter("tiny")))
from tests.conformance.test_simulated import CLUSTER, measured
for outcome in OUTCOMES:
    outcome(adapter("tiny"), CLUSTER, measured("tiny"))
print(schedulers.registry.__file__)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the project, with the package that the document builds."""
    return write_tree(tmp_path_factory.mktemp("tree"))


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=tree, capture_output=True, text=True, check=False
    )


def test_its_package_keeps_every_promise(tree: Path) -> None:
    done = run(tree, "-c", PROMISES)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tree), "another copy of the project was tested"


def test_a_campaign_searches_over_it_in_simulation(tree: Path) -> None:
    done = run(
        tree,
        "-m",
        "campaign.search",
        "testbed=simulation",
        "scheduler=tiny",
        "search.trials=3",
        "output.log=plain",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tree / "results").rglob("ledger.jsonl"))
