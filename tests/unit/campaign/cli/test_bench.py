"""The benchmarks' command: which of them run, with what, and where their results go."""

from importlib import import_module
from pathlib import Path

import pytest

from campaign.__main__ import main
from campaign.bench.results import BenchmarkResults
from campaign.cli.bench import BENCHMARKS, benchmarks_of, module_of
from campaign.core.errors import UsageError
from campaign.core.exits import USER_ERROR


@pytest.fixture
def done(monkeypatch):
    """What benchmarks that measure nothing were asked for."""
    asked = []

    def stand_in(name):
        def run(overrides, folder, rounds):
            asked.append((name, overrides, folder, rounds))
            return BenchmarkResults.of(f"table of {name}", **{f"{name}_txt": "text"})

        return run

    for name in BENCHMARKS:
        monkeypatch.setattr(import_module(module_of(name)), "run", stand_in(name))
    return asked


def test_words_are_benchmarks_or_settings():
    words = ["cluster.nodes=3", "simulation", "~workload.path", "clusters", "simulation"]
    overrides = ("cluster.nodes=3", "~workload.path")
    assert benchmarks_of(words) == (("simulation", "clusters"), overrides)


def test_all_benchmarks_run_unless_some_are_named():
    assert benchmarks_of(["cluster.nodes=3"]) == (tuple(BENCHMARKS), ("cluster.nodes=3",))


def test_a_benchmark_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="'speed'") as refused:
        benchmarks_of(["simulation", "speed"])
    assert all(name in str(refused.value) for name in BENCHMARKS)


def test_each_benchmark_gets_what_was_asked_and_its_files_are_written(done, tmp_path, capsys):
    out = tmp_path / "here"
    words = ["agreement", "--rounds", "2", "clusters", "--out", str(out), "cluster.nodes=3"]
    assert main(["bench", *words]) == 0
    assert done == [(name, ("cluster.nodes=3",), out, 2) for name in ("agreement", "clusters")]
    assert sorted(file.name for file in out.iterdir()) == ["agreement.txt", "clusters.txt"]
    said = capsys.readouterr().out
    assert "table of clusters" in said and f"{out} holds clusters.txt" in said


def test_the_defaults(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "fleet"]) == 0
    assert done == [("fleet", (), Path("results/bench"), 3)]


@pytest.mark.parametrize("text", ["0", "many", "", "1.5"])
def test_a_wrong_number_of_rounds_is_refused_before_anything_starts(text, done, capsys):
    assert main(["bench", "--rounds", text]) == USER_ERROR
    assert f"--rounds {text}: expected a whole number from 1" in capsys.readouterr().err
    assert done == []


@pytest.mark.parametrize(
    ("word", "instead"), [("rounds=2", "Use --rounds N."), ("out=here", "Use --out FOLDER.")]
)
def test_an_option_that_is_spelt_like_a_setting_is_refused(word, instead, done, capsys):
    assert main(["bench", "fleet", word]) == USER_ERROR
    said = capsys.readouterr().err
    assert f"{word}: " in said and instead in said and done == []
