"""The sampler that models outcomes: what it learns, what it chooses, and from what."""

import numpy as np
import pytest

from campaign.schema.search import Bound, SamplerSettings
from search.candidates import PointColumns, beside, drawn
from search.distinct import key_of
from search.gaussian_process import GaussianProcess, Likeness, Scale
from search.space import SCHEDULER, Categorical, Integer, Real, Space
from search.study import Study, distribution
from search.twins import Twins

ARMS = Space(
    {
        "cluster.nodes": Integer(2, 16),
        SCHEDULER: Categorical(("one", "two")),
        "scheduler.arms.one.depth": Integer(1, 100, log=True),
        "scheduler.arms.two.share": Real(0, 1),
        "scheduler.arms.two.order": Categorical((1, 4, 16)),
    },
    {},
    ("one", "two"),
)
OBJECTIVES = {"wait": "minimize", "use": "maximize"}
STEPPED = {"a": Integer(0, 300, step=15), "b": Integer(0, 300, step=15)}


def metrics_of(point):
    """Return metrics that one of the schedulers is better at, in one corner of its settings."""
    nodes = point["cluster.nodes"] / 16
    if point[SCHEDULER] == "one":
        wait = 2 - nodes + abs(np.log(point["scheduler.arms.one.depth"] / 30))
    else:
        wait = 1 - nodes / 2 + (point["scheduler.arms.two.share"] - 0.7) ** 2 * 4
        wait += 0.1 * point["scheduler.arms.two.order"]
    return {"wait": wait, "use": 1 - nodes, "tail": wait * 2}


def searched(name, seed, trials, constraints=None, space=ARMS, rule=metrics_of):
    settings = SamplerSettings(name=name)
    study = Study(space, OBJECTIVES, constraints or {}, settings, seed, distinct=True)
    suggestions = []
    for number in range(trials):
        suggestions.append(study.ask())
        study.tell(number, rule(suggestions[-1].point), baseline=number == 0)
    return suggestions


def front_sum(suggestions):
    """Return the least wait over each size of cluster, summed: less is better."""
    best = {}
    for one in suggestions:
        nodes = one.point["cluster.nodes"]
        best[nodes] = min(best.get(nodes, 3.0), metrics_of(one.point)["wait"])
    return sum(best.get(nodes, 3.0) for nodes in range(2, 17))


def test_it_finds_more_than_points_at_random():
    ours = [front_sum(searched("ehvi", seed, 40)) for seed in range(3)]
    random = [front_sum(searched("random", seed, 40)) for seed in range(3)]
    assert max(ours) < min(random)


def test_it_keeps_to_constraints_once_it_knows_them():
    limit = 1.4
    found = searched("ehvi", 1, 40, {"tail": Bound(max=limit)})
    kept = [metrics_of(one.point)["tail"] <= limit for one in found]
    random = searched("random", 1, 40)
    by_chance = [metrics_of(one.point)["tail"] <= limit for one in random]
    assert sum(kept[20:]) > 2 * sum(by_chance[20:])


def test_running_trials_keep_it_from_what_is_like_them():
    study = Study(ARMS, OBJECTIVES, {}, SamplerSettings(name="ehvi"), 2)
    for number in range(12):
        study.tell(number, metrics_of(study.ask().point))
    batch = [study.ask().point for _ in range(8)]
    assert len({key_of(point) for point in batch}) == 8


def test_where_all_trials_fail_it_goes_elsewhere():
    def missing(point):
        return point[SCHEDULER] == "two"

    study = Study(ARMS, OBJECTIVES, {}, SamplerSettings(name="ehvi"), 1, distinct=True)
    schedulers = []
    for number in range(40):
        point = study.ask().point
        schedulers.append(point[SCHEDULER])
        if missing(point):
            study.fail(number)
        else:
            study.tell(number, metrics_of(point))
    ours = schedulers[20::2]
    assert ours.count("two") < 7


def test_a_setting_that_changes_nothing_is_not_gone_through():
    space = Space(STEPPED, {}, ("one",))

    def rule(point):
        return {"wait": np.sin(point["a"]) + point["a"] / 100, "use": point["a"] / 300}

    found = searched("ehvi", 1, 30, space=space, rule=rule)
    assert len({one.point["a"] for one in found[::2]}) > 11


def test_a_process_foretells_what_it_knows_and_doubts_what_is_far():
    columns = np.linspace(0, 1, 9)[:, None]
    values = Scale(np.sin(5 * columns[:, 0])).of(np.sin(5 * columns[:, 0]))
    process = GaussianProcess(columns, values, Likeness.learnt(columns, values))
    known = process.foretell(columns)
    assert known.values == pytest.approx(values, abs=0.1)
    between = process.foretell(np.array([[0.19]]))
    beyond = process.foretell(np.array([[1.6]]))
    assert known.spreads.max() < between.spreads[0] < beyond.spreads[0]


def test_a_setting_that_does_not_matter_has_a_long_length():
    columns = np.random.default_rng(1).random((40, 2))
    values = np.sin(6 * columns[:, 0])
    values = (values - values.mean()) / values.std()
    likeness = Likeness.learnt(columns, values)
    assert likeness.lengths[1] > 5 * likeness.lengths[0]


def test_noise_is_told_from_what_is_rough():
    draw = np.random.default_rng(2)
    columns = draw.random((60, 1))
    smooth = Scale(columns[:, 0]).of(columns[:, 0])
    noisy = smooth + draw.normal(size=60)
    assert Likeness.learnt(columns, noisy).noise > 20 * Likeness.learnt(columns, smooth).noise


def test_twins_are_told_by_pairs_of_trials():
    places = np.array([(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)], dtype=float)
    outcomes = places[:, :1]
    chances = Twins(places, outcomes).chances(np.array([(0.0, 5.0), (5.0, 0.0)]))
    assert chances[0] > 0.7 > 0.2 > chances[1]


def test_candidates_have_what_exists_and_lie_in_the_space():
    found = {path: distribution(one) for path, one in ARMS.dimensions.items()}
    points = list(drawn(ARMS, found, 50, seed=1))
    near = [other for point in points for other in beside(ARMS, point)]
    assert {ARMS.misfit(point) for point in (*points, *near)} == {""}
    assert points == list(drawn(ARMS, found, 50, seed=1))
    for point in points:
        for other in beside(ARMS, point):
            assert sum(other[path] != value for path, value in point.items()) == 1


def test_columns_tell_choices_apart_and_put_numbers_in_order():
    columns = PointColumns(ARMS)
    one = {"cluster.nodes": 2, SCHEDULER: "one", "scheduler.arms.one.depth": 10}
    two = {"cluster.nodes": 16, SCHEDULER: "two", "scheduler.arms.two.share": 0.25}
    rows = columns.of([one, {**two, "scheduler.arms.two.order": 4}])
    assert rows[0] == pytest.approx([0, 1, 0, 0.5, 0.5, 0.5])
    assert rows[1] == pytest.approx([1, 0, 1, 0.5, 0.25, 0.5])
    assert columns.settings(rows).shape == (2, 5)
    assert (columns.settings(rows)[0] != columns.settings(rows)[1])[:2].all()
