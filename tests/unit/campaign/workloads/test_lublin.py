"""The model of Lublin and Feitelson against its published distributions, parameters written out
again."""

import math

import numpy as np
import pytest
from scipy import stats

from campaign.workloads.lublin import (
    arrivals,
    daily_weights,
    estimates,
    gaps,
    lublin,
    runtimes,
    users,
    widths,
)

# p-values: the seeds are fixed, so either holds for good
LIKELY = 1e-3
UNLIKELY = 1e-6


def two_stage(x: float, high: float, bend: float, narrow: float) -> float:
    """Distribution function of the logarithm of parallel jobs' widths."""
    lower = (x - 0.8) / (bend - 0.8)
    upper = (x - bend) / (high - bend)
    return narrow * min(max(lower, 0.0), 1.0) + (1 - narrow) * min(max(upper, 0.0), 1.0)


def width_probabilities(
    slots: int, bend: float, serial: float = 0.244, pow2: float = 0.576, narrow: float = 0.86
):
    """Of each width from 1 to `slots`."""
    high = math.log2(slots)
    probability = np.zeros(2 * slots + 1)
    probability[1] = serial
    for exponent in range(math.ceil(high) + 1):
        share = two_stage(exponent + 0.5, high, bend, narrow) - two_stage(
            exponent - 0.5, high, bend, narrow
        )
        probability[2**exponent] += pow2 * share
    for width in range(1, 2 * slots + 1):
        ends = (math.log2(width + end) for end in (0.5, -0.5))
        upper, lower = (two_stage(end, high, bend, narrow) for end in ends)
        probability[width] += (1 - serial - pow2) * (upper - lower)
    probability[slots] += probability[slots + 1 :].sum()
    return probability[1 : slots + 1]


def width_fit(slots: int, expected: np.ndarray) -> float:
    found = np.bincount(widths(np.random.default_rng(1), 40_000, slots), minlength=slots + 1)[1:]
    expected = expected * found.sum()
    rare = expected < 5
    pairs = [(found[~rare], expected[~rare]), ([found[rare].sum()], [expected[rare].sum()])]
    found, expected = (np.concatenate(each) for each in zip(*pairs, strict=True))
    kept = expected > 0
    assert found[~kept].sum() == 0
    return float(stats.chisquare(found[kept], expected[kept]).pvalue)


@pytest.mark.parametrize(
    ("slots", "bend"), [(4, 1.5), (8, 1.5), (48, math.log2(48) - 2.5), (128, 4.5), (1000, None)]
)
def test_widths(slots: int, bend: float | None) -> None:
    bend = math.log2(slots) - 2.5 if bend is None else bend
    assert width_probabilities(slots, bend).sum() == pytest.approx(1)
    assert width_fit(slots, width_probabilities(slots, bend)) > LIKELY


@pytest.mark.parametrize(
    "wrong", [{"serial": 0.26}, {"pow2": 0.6}, {"narrow": 0.83}, {"bend": 4.2}]
)
def test_widths_with_a_wrong_parameter_would_be_noticed(wrong: dict[str, float]) -> None:
    assert width_fit(128, width_probabilities(128, **{"bend": 4.5} | wrong)) < UNLIKELY


def test_serial_and_power_of_two_jobs_are_as_many_as_published() -> None:
    width = widths(np.random.default_rng(2), 50_000, 128)
    serial = int((width == 1).sum())
    assert stats.binomtest(serial, width.size, 0.244).pvalue > LIKELY
    powers = int(np.isin(width, 2 ** np.arange(1, 8)).sum())
    by_chance = sum(
        width_probabilities(128, 4.5, pow2=0.0)[2**exponent - 1] for exponent in range(1, 8)
    )
    assert (
        stats.binomtest(
            powers, width.size, 0.576 + by_chance * (1 - 0.244 - 0.576) / (1 - 0.244)
        ).pvalue
        > LIKELY
    )


@pytest.mark.parametrize(("slots", "widest"), [(1, 1), (2, 2), (3, 3)])
def test_widths_on_tiny_machines(slots: int, widest: int) -> None:
    width = widths(np.random.default_rng(3), 10_000, slots)
    assert width.min() == 1 and width.max() == widest
    if slots > 1:
        assert stats.binomtest(int((width == 1).sum()), width.size, 0.244).pvalue > LIKELY


def hyper_gamma(
    log: np.ndarray,
    width: int,
    first_scale: float = 0.94,
    second_shape: float = 312.0,
    limit: float = 12.0,
) -> np.ndarray:
    """Distribution function of the logarithm of run times, without those above the limit."""
    share = min(max(0.78 - 0.0054 * width, 0.0), 1.0)

    def whole(x: np.ndarray | float) -> np.ndarray:
        short = stats.gamma(4.2, scale=first_scale).cdf(x)
        return share * short + (1 - share) * stats.gamma(second_shape, scale=0.03).cdf(x)

    return np.minimum(whole(log) / whole(limit), 1.0)


@pytest.mark.parametrize("width", [1, 32, 128, 500])
def test_run_times(width: int) -> None:
    log = np.log(runtimes(np.random.default_rng(4), np.full(20_000, width)))
    assert log.max() <= 12
    assert stats.kstest(log, lambda x: hyper_gamma(x, width)).pvalue > LIKELY


@pytest.mark.parametrize("wrong", [{"width": 48}, {"first_scale": 1.0}, {"second_shape": 300.0}])
def test_run_times_with_a_wrong_parameter_would_be_noticed(wrong: dict[str, float]) -> None:
    log = np.log(runtimes(np.random.default_rng(4), np.full(20_000, 32)))
    assert stats.kstest(log, lambda x: hyper_gamma(x, **{"width": 32} | wrong)).pvalue < UNLIKELY


def test_run_times_follow_the_width_of_each_job() -> None:
    width = np.tile([1, 144], 20_000)
    log = np.log(runtimes(np.random.default_rng(5), width))
    for one in (1, 144):
        assert (
            stats.kstest(log[width == one], lambda x, one=one: hyper_gamma(x, one)).pvalue > LIKELY
        )


def test_run_times_that_are_too_long_are_drawn_anew_for_the_job_that_they_are_of(
    monkeypatch,
) -> None:
    monkeypatch.setattr("campaign.workloads.lublin.LONGEST_LOG", 9.4)
    log = np.log(runtimes(np.random.default_rng(12), np.repeat([144, 1], 20_000)))
    assert stats.kstest(log[:20_000], lambda x: hyper_gamma(x, 144, limit=9.4)).pvalue > LIKELY
    assert stats.kstest(log[20_000:], lambda x: hyper_gamma(x, 1, limit=9.4)).pvalue > LIKELY


def test_gaps() -> None:
    log = np.log(gaps(np.random.default_rng(6), 50_000))
    assert log.max() <= 13
    for all_hours, fits in ((1.0225, True), (1.0, False)):
        whole = stats.gamma(10.2303 * all_hours, scale=0.4871)
        p = stats.kstest(
            log, lambda x, whole=whole: np.minimum(whole.cdf(x) / whole.cdf(13), 1)
        ).pvalue
        assert p > LIKELY if fits else p < UNLIKELY


def published_weights() -> np.ndarray:
    cycle = stats.gamma(8.1737, scale=3.9631)
    weights = np.empty(48)
    for half_hour in range(11, 59):
        weights[(half_hour - 1) % 48] = cycle.cdf(half_hour + 0.5) - cycle.cdf(half_hour - 0.5)
    return weights / weights.mean()


def test_daily_weights_are_the_published_gamma_distribution() -> None:
    assert daily_weights() == pytest.approx(published_weights(), rel=1e-9)
    assert 13 <= daily_weights().argmax() / 2 <= 15, "busiest after noon"
    assert 4 <= daily_weights().argmin() / 2 <= 6, "quietest before the morning"


def test_arrivals_are_those_of_the_authors_procedure() -> None:
    weights = published_weights()
    bucket = 0
    points = 0.0
    clock = []
    passed = 0
    for gap in gaps(np.random.default_rng(7), 2_000):
        points += gap / 1800
        while points > weights[bucket]:
            points -= weights[bucket]
            bucket = (bucket + 1) % 48
            passed += 1
        clock.append((passed + points / weights[bucket]) * 1800)
    assert arrivals(np.random.default_rng(7), 2_000) == pytest.approx(clock, rel=1e-9)


def test_arrivals_have_the_published_daily_cycle() -> None:
    hour = arrivals(np.random.default_rng(8), 100_000) / 3600 % 24
    found = np.bincount(hour.astype(int), minlength=24) / hour.size
    expected = published_weights().reshape(24, 2).sum(axis=1) / 48
    assert np.abs(found - expected).max() < 0.006
    assert np.corrcoef(found, expected)[0, 1] > 0.99
    busy = expected > np.quantile(expected, 0.75)
    quiet = expected < np.quantile(expected, 0.25)
    ratio = found[busy].sum() / found[quiet].sum()
    assert ratio == pytest.approx(expected[busy].sum() / expected[quiet].sum(), rel=0.15)
    assert ratio > 5


def test_the_workload_is_made_of_these() -> None:
    table = lublin(jobs=20_000, seed=9, slots=64).table
    width, runtime, arrival = (
        table.column(name).to_numpy() for name in ("width", "runtime_s", "arrival_s")
    )
    assert stats.binomtest(int((width == 1).sum()), width.size, 0.244).pvalue > LIKELY
    assert stats.kstest(np.log(runtime[width == 1]), lambda x: hyper_gamma(x, 1)).pvalue > LIKELY
    assert stats.kstest(np.log(runtime[width == 32]), lambda x: hyper_gamma(x, 32)).pvalue > LIKELY
    hours = np.bincount((arrival / 3600 % 24).astype(int), minlength=24)
    assert hours.max() > 10 * hours.min()


def test_estimates_are_uniform_up_to_four_times_the_run_time() -> None:
    draw = np.random.default_rng(10)
    runtime = draw.uniform(1, 1000, 20_000)
    factor = estimates(draw, runtime) / runtime
    assert stats.kstest(factor, stats.uniform(1, 3).cdf).pvalue > LIKELY
    assert abs(np.corrcoef(factor, runtime)[0, 1]) < 0.03
    assert (1 / factor).mean() == pytest.approx(math.log(4) / 3, rel=0.02)


def test_users_submit_in_proportion_to_the_inverse_of_their_rank() -> None:
    found = np.bincount(users(np.random.default_rng(11), 20_000), minlength=41)
    assert found.size == 41 and found[0] == 0
    expected = 1 / np.arange(1, 41)
    assert stats.chisquare(found[1:], expected / expected.sum() * found.sum()).pvalue > LIKELY
