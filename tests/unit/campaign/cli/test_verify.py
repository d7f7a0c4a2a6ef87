"""`hpc-campaign verify` names each damaged file, and rebuilds those that others tell all of."""

import json
import shutil

import pytest

from campaign.__main__ import main
from campaign.config.compose import compose
from campaign.execution.run import run
from campaign.execution.verify import damages_of
from tests.fakes.tracker import FakeTracker


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("campaign.execution.run.tracker_for", lambda *_: FakeTracker(folder / "told"))
        settings = [
            "testbed=simulation",
            "workload.jobs=5",
            "search.trials=3",
            f"output.results={folder}/r",
            f"output.mlruns={folder}/m",
            "name=mine",
        ]
        run(compose(settings))
    return folder / "r"


@pytest.fixture
def results(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "campaign.execution.report_again.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
    )
    return shutil.copytree(finished, tmp_path / "r")


def verify(results, *options):
    return main(["verify", "mine", "--results", str(results), *options])


def test_whole_results_are_whole(results, capsys):
    assert verify(results) == 0
    assert "are whole" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ledger.jsonl", "jobs/trial=00001.parquet", "workload.parquet"])
def test_a_flipped_bit_is_found_and_nothing_is_built_on_it(results, capsys, name):
    path = results / "mine" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    assert verify(results, "--rebuild") == 2
    assert f"damaged  {path}" in capsys.readouterr().out


def test_each_flipped_byte_of_the_fronts_figures_is_found(results):
    path = results / "mine/front.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 12):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        (found,) = damages_of(results, "mine")
        assert found.path == path
        assert found.rebuildable
    path.write_bytes(whole)
    assert damages_of(results, "mine") == []


def test_a_wrong_figure_of_the_front_is_found_and_made_right_again(results, capsys):
    path = results / "mine/front.json"
    whole = path.read_text()
    wrong = json.loads(whole)
    wrong["unseen"]["instances"] += 1
    path.write_text(f"{json.dumps(wrong, indent=1)}\n")
    assert verify(results) == 2
    assert "its figures are not those of the ledger's trials" in capsys.readouterr().out
    assert verify(results, "--rebuild") == 0
    assert path.read_text() == whole


@pytest.mark.parametrize("name", ["campaign.yaml", "report.html", "front.json"])
@pytest.mark.parametrize("content", [None, b"", b"half a line"])
def test_what_follows_from_the_ledger_is_rebuilt(results, capsys, name, content):
    path = results / "mine" / name
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert verify(results) == 2
    assert "--rebuild" in capsys.readouterr().out
    assert verify(results, "--rebuild") == 0
    assert f"rebuilt  {path}" in capsys.readouterr().out
    assert path.stat().st_size > len(whole) / 2
    assert verify(results) == 0


def test_a_lost_table_is_damage_too_and_stops_no_rebuilding(results, capsys):
    (results / "mine/jobs/trial=00001.parquet").unlink()
    (results / "mine/report.html").unlink()
    assert verify(results, "--rebuild", "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert [one["missing"] for one in found["damaged"]] == [True]
    assert [one["path"].endswith("report.html") for one in found["rebuilt"]] == [True]


def test_an_unknown_campaign_is_an_error(results, capsys):
    assert main(["verify", "other", "--results", str(results)]) == 2
    assert "there is no campaign" in capsys.readouterr().err
