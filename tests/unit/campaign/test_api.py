"""Campaigns from Python, and the notebook of the documents."""

import ast
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from campaign import api
from campaign.__main__ import main
from campaign.core.errors import ConfigError, LedgerError, UsageError
from campaign.core.trials import Replicate
from campaign.records.ledger import history_of
from campaign.records.results import Results
from tests.fakes.tracker import FakeTracker

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "docs" / "examples" / "first_campaign.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def settings(folder):
    return {
        "testbed": "simulation",
        "name": "mine",
        "workload.jobs": 5,
        "workload.instances": 2,
        "search.holdout": 0,
        "search.trials": 3,
        "cluster.nodes": [2, 4],
        "output.results": f"{folder}/r",
        "output.mlruns": f"{folder}/m",
    }


@pytest.fixture(scope="module")
def found(folder, settings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("campaign.execution.run.tracker_for", lambda *_: FakeTracker(folder / "told"))
        return api.search(settings, quiet=True)


def test_what_was_searched_is_what_was_set(found, settings, folder):
    assert found.name == "mine"
    assert found.state == "finished"
    assert found.settings.search.trials == 3
    assert list(found.objectives) == list(found.settings.objectives)
    assert found.folder == folder / "r" / "mine"
    assert found.report.is_file()


def test_trials_and_front_are_tables_of_the_record(found, folder):
    history = history_of(Results(folder / "r", "mine").ledger_path)
    trials = found.trials()
    assert trials["trial"].to_pylist() == [0, 1, 2]
    assert trials["baseline"].to_pylist() == [True, False, False]
    for name in (*found.objectives, "makespan_s"):
        assert trials[name].to_pylist() == [one.metrics[name] for one in history.final()]
    assert trials["cluster.nodes"].type == pa.int64()
    on_front = trials.filter(trials["front"])
    assert sorted(found.front()["trial"].to_pylist()) == on_front["trial"].to_pylist()
    assert found.baseline == found.trial(0)


def test_jobs_are_those_of_trials_and_instances(found, folder):
    results = Results(folder / "r", "mine")
    assert found.jobs().equals(results.jobs())
    assert found.jobs(1, 1).equals(results.trial_jobs(1, 1))
    assert found.jobs(1).num_rows == found.workload().num_rows == 5
    assert found.jobs(1, 7).num_rows == 0
    assert found.jobs(1, 7).schema == found.jobs(1).schema


def test_data_frames_are_one_call_away(found):
    pytest.importorskip("pandas")
    assert len(found.jobs(0).to_pandas()) == 5


def test_a_notebook_shows_the_front_and_no_markup_of_others(found):
    shown = found._repr_html_()
    assert all(f"<th>{name}</th>" in shown for name in found.objectives)
    assert api._cell("<script>") == "&lt;script&gt;"


def test_settings_are_words_too(found, settings, monkeypatch):
    monkeypatch.setattr("campaign.execution.run.tracker_for", lambda *_: FakeTracker(Path("told")))
    words = api._words(settings)
    assert "cluster.nodes=[2, 4]" in words
    assert "testbed=simulation" in words
    assert api._words(words) == words
    with pytest.raises(UsageError, match="a mapping or a list"):
        api.search("name=mine")
    with pytest.raises(ConfigError):
        api.search(["search.trials=many"])


def test_what_is_there_can_be_listed_and_opened(found, folder):
    assert [one.name for one in api.campaigns(folder / "r")] == ["mine"]
    again = api.open_campaign("mine", folder / "r")
    assert again.trials().equals(found.trials())
    assert repr(again) == f"<campaign mine: 3 trials, {found.front().num_rows} on the front>"
    with pytest.raises(LedgerError, match="no campaign"):
        api.open_campaign("another", folder / "r")
    with pytest.raises(LedgerError, match="has no trial 9"):
        found.trial(9)


def test_damage_is_told(found, folder, tmp_path):
    assert found.damages() == []
    copied = shutil.copytree(folder / "r", tmp_path / "r")
    Results(copied, "mine").jobs_folder.joinpath("trial=00001.parquet").write_bytes(b"")
    damages = api.open_campaign("mine", copied).damages()
    assert [one.path.name for one in damages] == ["trial=00001.parquet"]


def test_a_published_campaign_is_opened_by_its_folder(found, folder, tmp_path):
    crate = tmp_path / "crate"
    assert main(["publish", "mine", "--results", f"{folder}/r", "--out", str(crate)]) == 0
    opened = api.open_campaign(crate)
    assert opened.trials().equals(found.trials())
    assert opened.damages() == []
    (crate / "README.md").write_text("altered")
    assert [one.path.name for one in opened.damages()] == ["README.md"]
    assert Replicate(0) in history_of(crate / "ledger.jsonl").records


def shown_by(source, names):
    """Execute a cell as a notebook does; what it shows, which is the value of its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_the_notebook_of_the_documents_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "campaign.execution.run.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
    )
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], len({one["id"] for one in notebook["cells"]})) == (
        4,
        len(notebook["cells"]),
    )
    names = {"__name__": "__main__"}
    shown = [
        shown_by("".join(one["source"]), names)
        for one in notebook["cells"]
        if one["cell_type"] == "code"
    ]
    found, trials, gains, longest, extended = shown
    assert found.name == "notebook"
    assert trials.num_rows == 12
    assert set(gains) == set(found.objectives)
    assert len(longest) == 3
    assert extended == ("finished", 16)
