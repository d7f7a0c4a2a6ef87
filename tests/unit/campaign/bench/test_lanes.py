"""Where simulated trials are evaluated best: each is evaluated once, and the table says it."""

import json

import pytest

from campaign.bench import lanes
from campaign.bench.lanes_table import LaneFigures, TrialTimes, as_json, as_text, worth_ms
from campaign.core.errors import BenchmarkError
from campaign.core.trials import Evaluation
from campaign.simulation.lanes import on_threads
from tests.fakes.testbed import FakeTestbed


def figures(jobs, here, ray, own=0.5):
    """Figures by the CPU time of a trial here and by Ray; the host is busy, so nothing is fast."""
    rounds = {
        "here": [TrialTimes(3 * here, here, here)],
        "threads": [TrialTimes(2 * here, here, here)],
        "ray": [TrialTimes(9 * ray, ray, own)],
    }
    return LaneFigures(jobs, 10, 2, rounds)


MEASURED = [
    figures(10, 1.0, 4.0),
    figures(100, 10.0, 19.0),
    figures(1000, 50.0, 60.0),
    figures(10000, 500.0, 530.0),
]


def test_ray_is_worth_it_from_where_it_is_faster_at_all_greater_costs():
    assert worth_ms(MEASURED) == 50.0
    assert worth_ms([*MEASURED[:3], figures(10000, 500.0, 999.0)]) is None


def test_ray_is_no_faster_than_this_process_gives_tasks_out():
    assert figures(1000, 50.0, 60.0, own=49.0).gain == pytest.approx(50 / 49)
    assert figures(1000, 50.0, 60.0, own=1.0).gain == pytest.approx(50 / 30)


def test_the_table_has_the_gain_and_the_threshold():
    text = as_text(MEASURED)
    assert "on 2 cores" in text.splitlines()[0]
    row = "1,000 10 50.00 150.00 50.00 100.00 60.00 540.00 1.67"
    assert text.splitlines()[5].split() == row.split()
    assert "Ray is worth it from 50.0 ms of CPU per trial on" in text
    assert "at none of these costs" in as_text(MEASURED[:2])
    whole = json.loads(as_json(MEASURED))
    assert whole["worth_ms"] == 50.0
    assert whole["sizes"][2]["rounds"]["ray"] == [{"wall_ms": 540.0, "cpu_ms": 60.0, "own_ms": 0.5}]


@pytest.mark.parametrize("way", ["here", "threads"])
def test_each_trial_is_evaluated_once_by_each_way(way):
    evaluated = []

    def evaluate(trial):
        evaluated.append(trial.number)
        return Evaluation("ok")

    testbed = on_threads(evaluate, 2) if way == "threads" else FakeTestbed()
    took = lanes._times(testbed, {"cluster.nodes": 2}, 9)
    assert took.wall_ms > 0 and took.cpu_ms >= took.own_ms
    numbers = evaluated if way == "threads" else [number for number, _ in testbed.started]
    assert sorted(numbers) == list(range(9))
    testbed.close()


def test_a_trial_that_fails_ends_the_benchmark():
    testbed = on_threads(lambda trial: Evaluation("infrastructure_failed", "other version"), 1)
    with pytest.raises(BenchmarkError, match="infrastructure_failed"):
        lanes._times(testbed, {}, 1)
    testbed.close()
