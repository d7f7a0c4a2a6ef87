"""`export study` as its users meet it: Optuna itself opens what it writes."""

import pytest

from campaign import __main__ as surrounding
from campaign.core.exits import USER_ERROR
from campaign.execution.report_again import begun
from campaign.records.results import Results
from search.pareto import front
from tests.unit.campaign.cli.site_campaign import site_campaign

SETTINGS = (
    "scheduler.params.bf_interval=[1,300]",
    "cluster.nodes=[2,4]",
    "search.constraints.wait_mean_s.max_x_baseline=1.0",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return site_campaign(tmp_path_factory.mktemp("study"), *SETTINGS)


def exported(results, *arguments):
    return surrounding.main(["export", "study", *arguments, "--results", str(results)])


def loaded(file):
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(file)))
    return optuna.load_study(study_name=None, storage=storage)


def test_optuna_opens_the_study_with_all_that_the_campaign_knows(
    results, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert exported(results, "site") == 0
    assert "`optuna-dashboard site.journal` opens it" in capsys.readouterr().out
    composed, history = begun(Results(results, "site"))
    records = history.comparable()
    objectives = composed.campaign.objectives
    study = loaded("site.journal")
    assert study.study_name == "site" and study.metric_names == list(objectives)
    assert [one.name.lower() for one in study.directions] == list(objectives.values())
    assert len(study.trials) == len(records) == 4
    for trial, record in zip(study.trials, records, strict=True):
        assert trial.values == [record.metrics[name] for name in objectives]
        point = {
            name.removeprefix("scheduler.params."): value for name, value in record.point.items()
        }
        assert trial.params == point and "cluster.nodes" in point
        assert trial.user_attrs["wait_max_s"] == record.metrics["wait_max_s"]
        assert trial.user_attrs["baseline"] is record.baseline
        assert trial.datetime_complete.timestamp() == pytest.approx(record.ended, abs=1e-3)
    best = front(records, objectives, composed.campaign.search.constraints)
    assert {one.number for one in study.best_trials} == {one.number for one in best}


@pytest.mark.parametrize("words", [("site:2",), ("cluster.nodes=3",), (), ("site", "other")])
def test_what_is_no_campaign_is_refused(results, words, capsys):
    assert exported(results, *words) == USER_ERROR
    assert "Use `export study NAME`." in capsys.readouterr().err


def test_a_campaign_that_there_is_not_is_named(results, capsys):
    assert exported(results, "none") == USER_ERROR
    assert "none" in capsys.readouterr().err
