"""`check` as a pipeline meets it: its status, and what it says of each metric."""

import json

import pytest

from campaign import __main__ as surrounding
from campaign.core.exits import USER_ERROR, WORSE
from campaign.execution.report_again import begun
from campaign.records.results import Results
from tests.unit.campaign.cli.site_campaign import site_campaign

FEW = ("scheduler.params.bf_interval=[1,300]", "cluster.nodes=[2,4]", "search.holdout=0")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Campaigns on one workload (site), on six (several), and on another one (other)."""
    folder = tmp_path_factory.mktemp("checked")
    drawn = ("workload=poisson", "workload.jobs=30", "workload.instances=6", "name=several")
    site_campaign(folder, *FEW, *drawn, "search.race_after=6")
    site_campaign(folder, *FEW, "workload.seed=8", "name=other", "search.trials=1")
    return site_campaign(folder, *FEW)


def checked(results, *arguments):
    return surrounding.main(["check", *arguments, "--results", str(results)])


def trials(results, name):
    """The numbers of a campaign's trials, the best in the first objective first."""
    _, history = begun(Results(results, name))
    records = [one for one in history.comparable() if one.valid]
    return [one.number for one in sorted(records, key=lambda one: one.metrics["awrt_s"])]


def test_a_trial_is_not_worse_than_itself(results, capsys):
    assert checked(results, "site", "--against", "site:0") == 0
    assert "site:0 beside site:0: nothing is worse" in capsys.readouterr().out


def test_the_worst_trial_is_worse_than_the_best_and_not_the_other_way_round(results, capsys):
    best, *_, worst = trials(results, "site")
    pair = (f"site:{worst}", "--against", f"site:{best}", "--metric", "awrt_s")
    assert checked(results, *pair) == WORSE
    said = capsys.readouterr().out
    assert "WORSE awrt_s" in said and "by 20 jobs of one workload" in said
    assert checked(results, *pair, "--tolerance", "100000") == 0
    assert checked(results, f"site:{best}", "--against", f"site:{worst}", *pair[-2:]) == 0


def test_workloads_are_resampled_where_both_have_several(results, capsys):
    first, *_, last = trials(results, "several")
    checked(results, f"several:{last}", "--against", f"several:{first}", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["trial"] == f"several:{last}" and found["against"] == f"several:{first}"
    assert [one["metric"] for one in found["changes"]] == ["awrt_s", "node_hours"]
    for one in found["changes"]:
        assert (one["resampled"], one["count"]) == ("workloads", 6)
        assert one["low"] <= one["percent"] <= one["high"]


def test_other_jobs_are_not_compared(results, capsys):
    assert checked(results, "site", "--against", "other") == USER_ERROR
    assert "have replayed no workload in common" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("site:99", "--against", "site"), "has no trial 99"),
        (("none", "--against", "site"), "none"),
        (("a:b", "--against", "site"), "'a:b' names no trial"),
        (("site", "--against", "site", "--metric", "beauty"), "beauty"),
        (("site", "--against", "site", "--metric", "esp_efficiency"), "no values of it"),
    ],
)
def test_what_cannot_be_checked_is_one_clear_error(results, capsys, arguments, said):
    assert checked(results, *arguments) == USER_ERROR
    assert said in capsys.readouterr().err
