"""The comparison of samplers: problems known in whole, curves of searches, and the table."""

import math

import numpy as np
import pytest

from campaign.bench.known_problem import known, searched
from campaign.bench.search import run
from campaign.bench.search_ladder import climbed
from campaign.bench.search_problems import DEAR, PROBLEMS, SHARED, SearchProblem
from campaign.bench.search_table import ProblemFigures, SearchRun, as_json, as_text
from campaign.config.compose import compose
from campaign.core.errors import BenchmarkError
from search.distinct import size_of

SMALL = (
    *SHARED,
    "workload.jobs=6",
    "search.trials=8",
    "cluster.nodes=[2,4]",
    "scheduler.params.SchedulerType=sched/backfill",
    "scheduler.params.bf_interval={choices:[1,30]}",
    "scheduler.params.sched_interval={choices:[1,20,60]}",
)


@pytest.fixture(scope="module", autouse=True)
def _interpreted():
    # So few jobs are simulated sooner than loops are compiled.
    from numba import config

    before = config.DISABLE_JIT
    config.DISABLE_JIT = True
    yield
    config.DISABLE_JIT = before


@pytest.fixture(scope="module")
def problem():
    return known("small", compose(SMALL))


def test_every_point_of_a_problem_is_known(problem):
    assert len(problem.outcomes) == size_of(problem.composed.space) == 3 * 2 * 3
    assert all(one.valid for one in problem.outcomes.values())
    assert problem.trials == 8
    long = compose([*SMALL, "search.trials=100"])
    assert known("small", long).trials == 9


def test_a_search_begins_with_the_baseline_and_tries_no_point_twice(problem):
    sampler = problem.composed.campaign.sampler
    records = searched(problem, sampler, 1)
    assert records[0].point == problem.composed.baseline.point
    assert [one.baseline for one in records] == [True] + [False] * 7
    assert len({str(sorted(one.point.items())) for one in records}) == 8
    assert searched(problem, sampler, 1) == records
    assert searched(problem, sampler, 2) != records


def test_the_spaces_of_all_problems_can_be_gone_through():
    for name, own in PROBLEMS.items():
        composed = compose([*SHARED, *own.settings])
        assert 200 < size_of(composed.space) <= 4000, name


def test_a_space_without_end_is_refused():
    composed = compose([*SHARED, "cluster.nodes=[1,200000]"])
    with pytest.raises(BenchmarkError, match="its space has"):
        known("endless", composed)


def test_all_samplers_are_run_with_all_seeds(monkeypatch, tmp_path):
    small = SearchProblem(SMALL[len(SHARED) :], instances=2, ladder=True)
    monkeypatch.setattr("campaign.bench.search.PROBLEMS", {"small": small})
    found = run(["search.trials=5"], tmp_path, 2)
    assert set(found.files) == {"search.txt", "search.json"}
    for name in ("random", "tpe", "nsga2", "qmc", "tpe alone", "ladder"):
        assert name in found.table
    assert "18 points" in found.table
    assert "2 seeds of 5 trials" in found.table
    alone = run(["search.trials=5", "sampler=random"], tmp_path, 2)
    assert "tpe" not in alone.table


def test_problems_are_of_several_kinds():
    problems = list(PROBLEMS.values())
    assert len(problems) >= 6 and sum(one.instances > 1 for one in problems) >= 2
    assert sum(one.ladder for one in problems) >= 3
    composed = [compose([*SHARED, *one.settings]) for one in problems]
    assert any(one.space.has_arms for one in composed)
    assert {name for one in composed for name in one.schedulers} >= {"slurm", "flux"}
    assert any(one.campaign.search.constraints for one in composed)
    assert len({tuple(one.campaign.objectives) for one in composed}) >= 3


def test_chance_shows_one_instance_and_the_mean_is_what_counts():
    noisy = known("noisy", compose([*SMALL, "workload.instances=2"]))
    name = "awrt_s"
    spread = [{one.metrics[name] for one in found.replicates} for found in noisy.outcomes.values()]
    assert any(len(values) == 2 for values in spread)
    for found in noisy.outcomes.values():
        values = [one.metrics[name] for one in found.replicates]
        assert found.metrics[name] == pytest.approx(sum(values) / 2)
    point = next(iter(noisy.outcomes.values())).point
    seen = [noisy.seen(point, seed, 3) for seed in range(12)]
    assert {one.instance for one in seen} == {0, 1}
    assert seen == [noisy.seen(point, seed, 3) for seed in range(12)]


def test_a_ladder_finds_the_dear_front_among_what_it_rehearsed(problem):
    dear = known("dear", compose([*SMALL, *DEAR]))
    sampler = problem.composed.campaign.sampler
    records = climbed(problem, dear, sampler, 1)
    assert len(records) == 9 and records[0].baseline
    assert all(record.metrics == dear.outcome(record.point).metrics for record in records)
    assert climbed(problem, dear, sampler, 1) == records


def figures_of(**curves) -> ProblemFigures:
    runs = tuple(
        SearchRun(name.rstrip("0123456789"), seed, tuple(own))
        for name, many in curves.items()
        for seed, own in enumerate(many)
    )
    half = {run.sampler: 0.4 for run in runs}
    trials = min(len(run.volumes) for run in runs)
    return ProblemFigures("made up", 100, 4, ("awrt_s",), 0.8, trials, half, runs)


def test_the_table_says_how_much_was_reached_how_soon_and_against_the_first():
    found = figures_of(random=[[0.1, 0.4, 0.6]] * 6, tpe=[[0.1, 0.76, 0.8], *[[0.1, 0.8, 0.8]] * 5])
    text = as_text([found])
    random, tpe = text.splitlines()[2:4]
    assert random.split()[:2] == ["random", "75.0%"]
    assert "never (never to never)" in random
    assert random.split()[5] == "50.0%"
    assert "100.0%" in tpe
    assert "+25.0% (+25.0% to +25.0%)" in tpe
    # 95 % of 0.8 is 0.76, which each of them had after the second trial; 99 % one had later.
    assert "2 (2 to 2)" in tpe
    assert "2 (2 to 3)" in tpe


def test_the_summary_has_shares_of_the_first_sampler_and_says_what_never_came():
    found = figures_of(random=[[0.1, 0.1, 0.1, 0.8]] * 3, tpe=[[0.1, 0.8, 0.8, 0.8]] * 3)
    assert as_text([found]).splitlines()[-1].split() == ["made", "up", "4", "2", "(50%)"]
    never = figures_of(random=[[0.1] * 4] * 3, tpe=[[0.1, 0.8, 0.8, 0.8]] * 3, qmc=[[0.1] * 4] * 3)
    last = as_text([never]).splitlines()[-1]
    assert last.split()[2:] == ["never", "2", "(below", "50%)", "never"]


def test_random_search_goes_on_to_its_goal_and_is_judged_after_as_many_trials_as_the_others():
    found = figures_of(random=[[0.1, 0.1, 0.4, 0.4, 0.8]] * 3, tpe=[[0.1, 0.4, 0.8]] * 3)
    text = as_text([found])
    assert "3 seeds of 3 trials" in text
    assert text.splitlines()[2].split()[:2] == ["random", "50.0%"]
    assert text.splitlines()[-1].split() == ["made", "up", "5", "3", "(60%)"]


def test_trials_are_counted_from_one_and_a_goal_missed_is_infinite():
    run_ = SearchRun("tpe", 0, (0.5, 0.79999999999, 0.8))
    assert run_.trials_to(0.5) == 1
    assert run_.trials_to(0.8) == 2
    assert math.isinf(run_.trials_to(0.9))


def test_json_has_every_search():
    found = figures_of(random=[[0.1, 0.2]], tpe=[[0.3, 0.4]])
    (plain,) = as_json([found])
    assert [one["sampler"] for one in plain["runs"]] == ["random", "tpe"]
    assert np.allclose(plain["runs"][1]["volumes"], [0.3, 0.4])
