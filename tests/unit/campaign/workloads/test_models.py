"""Workload models: what every one promises, and Downey's and the Poisson model against their
distributions."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from campaign.core.errors import ConfigError
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.workloads.downey import downey, speedup
from campaign.workloads.lublin import lublin
from campaign.workloads.poisson import poisson

# p-values: the seeds are fixed, so either holds for good
LIKELY = 1e-3
UNLIKELY = 1e-6
MODELS: list[Callable[..., Workload]] = [lublin, downey, partial(poisson, runtime_s=(60.0, 3600.0))]


def column(workload: Workload, name: str) -> np.ndarray:
    return workload.table.column(name).to_numpy()


def chi_square(found: np.ndarray, probability: np.ndarray) -> float:
    """p-value of counts against probabilities; bins that expect less than 5 are put together."""
    expected = probability / probability.sum() * found.sum()
    rare = expected < 5
    groups = [np.append(each[~rare], each[rare].sum()) for each in (found, expected)]
    full = groups[1] > 0
    return float(stats.chisquare(groups[0][full], groups[1][full]).pvalue)


@pytest.mark.parametrize("model", MODELS)
@settings(deadline=None, max_examples=25)
@given(jobs=st.integers(1, 300), seed=st.integers(0, 2**32), slots=st.integers(1, 5000))
def test_jobs_are_a_workload_for_the_machine(model, jobs: int, seed: int, slots: int) -> None:
    workload = model(jobs=jobs, seed=seed, slots=slots)
    arrival, width, runtime = (
        column(workload, name) for name in ("arrival_s", "width", "runtime_s")
    )
    assert workload.table.schema == WORKLOAD_SCHEMA
    assert workload.machine_slots == slots
    assert column(workload, "job_id").tolist() == list(range(1, jobs + 1))
    assert arrival[0] == 0 and (np.diff(arrival) >= 0).all()
    assert width.min() >= 1 and width.max() <= slots
    assert runtime.min() > 0 and (column(workload, "requested_s") >= runtime).all()
    assert column(workload, "user").min() >= 1
    assert all(
        np.isfinite(column(workload, name)).all()
        for name in ("arrival_s", "runtime_s", "requested_s")
    )


@pytest.mark.parametrize("model", MODELS)
def test_jobs_depend_on_the_arguments_and_on_nothing_else(model) -> None:
    base = {"jobs": 50, "seed": 1, "slots": 64}
    one = model(**base)
    same = model(**base)
    assert one.hash == same.hash and one.notes == same.notes
    for change in ({"seed": 2}, {"slots": 128}, {"jobs": 51}):
        assert model(**base | change).hash != one.hash


@pytest.mark.parametrize("model", MODELS)
def test_notes_tell_what_the_jobs_are(model) -> None:
    notes = model(jobs=3, seed=17, slots=64).notes
    assert "seed 17" in notes["model"] and "64" in notes["model"]
    assert {"requested_s", "user"} <= notes.keys()


@pytest.mark.parametrize(
    ("processors", "parallelism", "sigma", "expected"),
    [
        (1, 4, 0.7, 1),
        (3, 4, 0, 3),
        (4, 4, 0, 4),
        (9, 4, 0, 4),
        (2, 4, 1, 8 / 4.5),
        (6, 4, 1, 24 / 6.5),
        (7, 4, 1, 4),
        (1, 4, 2, 1),
        (4, 4, 2, 48 / 18),
        (10, 4, 2, 4),
        (64, 4, 2, 4),
        (5, 1, 1.5, 1),
    ],
)
def test_speedup_by_hand(
    processors: float, parallelism: float, sigma: float, expected: float
) -> None:
    assert speedup(processors, parallelism, sigma) == pytest.approx(expected)


@settings(deadline=None)
@given(parallelism=st.floats(1, 1000), sigma=st.floats(0, 5))
def test_speedup_grows_from_1_to_the_average_parallelism_without_jumps(
    parallelism: float, sigma: float
) -> None:
    processors = np.linspace(1, 2 * parallelism + 10, 400)
    found = speedup(processors, parallelism, sigma)
    assert found[0] == pytest.approx(1)
    assert (np.diff(found) >= -1e-9).all()
    assert (np.diff(found) <= np.diff(processors) + 1e-9).all(), (
        "no more than linear, so no jump either"
    )
    assert (found <= np.minimum(processors, parallelism) + 1e-9).all()
    assert speedup(1e9, parallelism, sigma) == pytest.approx(parallelism)


@given(processors=st.floats(1, 100), parallelism=st.floats(1, 100))
def test_speedup_branches_meet_where_sigma_is_1(processors: float, parallelism: float) -> None:
    low, high = speedup(processors, parallelism, [1.0, 1.0 + 1e-12])
    assert low == pytest.approx(high)


def test_speedup_of_columns_is_that_of_each() -> None:
    draw = np.random.default_rng(3)
    n = draw.integers(1, 50, 100)
    a = draw.uniform(1, 30, 100)
    s = draw.uniform(0, 2, 100)
    each = [float(speedup(*row)) for row in zip(n, a, s, strict=True)]
    assert speedup(n, a, s) == pytest.approx(each)


def test_downey_widths_are_log_uniform() -> None:
    width = column(downey(jobs=20_000, seed=5, slots=100), "width")
    edges = np.log(np.concatenate([[1.0], np.arange(1.5, 100), [100.0]]))
    found = np.bincount(width, minlength=101)[1:]
    assert chi_square(found, np.diff(edges)) > LIKELY
    assert chi_square(found, np.full(100, 0.01)) < UNLIKELY


def test_downey_lifetimes_are_log_uniform() -> None:
    lifetime = column(downey(jobs=20_000, seed=6, slots=1), "runtime_s")
    assert stats.kstest(np.log(lifetime), stats.uniform(2, 10).cdf).pvalue > LIKELY
    assert stats.kstest(np.log(lifetime), stats.uniform(2, 10.5).cdf).pvalue < UNLIKELY


def test_downey_wide_jobs_are_as_much_faster_as_sigma_from_0_to_2_makes_them() -> None:
    workload = downey(jobs=40_000, seed=8, slots=1000)
    width = column(workload, "width")
    runtime = column(workload, "runtime_s")
    wide = width >= 20
    gain = np.log(runtime[wide]) - 7 + np.log(width[wide])
    error = gain.std() / np.sqrt(gain.size)
    shares = {
        most: -np.log(speedup(100, 100, np.linspace(0, most, 1001)) / 100).mean() for most in (1, 2)
    }
    assert abs(gain.mean() - shares[2]) < 3 * error
    assert abs(gain.mean() - shares[1]) > 4 * error


@pytest.mark.parametrize("slots", [1, 10, 300])
def test_downey_and_poisson_offer_a_load_of_seven_tenths(slots: int) -> None:
    for model in MODELS[1:]:
        workload = model(jobs=50_000, seed=9, slots=slots)
        area = (column(workload, "width") * column(workload, "runtime_s")).sum()
        assert area / (slots * column(workload, "arrival_s")[-1]) == pytest.approx(0.7, rel=0.02)


@pytest.mark.parametrize("model", MODELS[1:])
def test_downey_and_poisson_arrivals_are_a_poisson_process(model) -> None:
    gaps = np.diff(column(model(jobs=20_000, seed=10, slots=16), "arrival_s"))
    assert stats.kstest(gaps, stats.expon(scale=gaps.mean()).cdf).pvalue > LIKELY
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.03


def test_poisson_widths_and_run_times_are_uniform() -> None:
    workload = poisson(jobs=20_000, seed=11, slots=24, runtime_s=(10.0, 50.0))
    assert (
        chi_square(np.bincount(column(workload, "width"), minlength=25)[1:], np.ones(24)) > LIKELY
    )
    assert stats.kstest(column(workload, "runtime_s"), stats.uniform(10, 40).cdf).pvalue > LIKELY
    assert column(workload, "requested_s") == pytest.approx(2 * column(workload, "runtime_s"))


@pytest.mark.parametrize("runtime_s", [(0.0, 10.0), (20.0, 10.0), (-1.0, 1.0)])
def test_poisson_refuses_run_times_that_are_none(runtime_s: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match=r"workload\.runtime_s"):
        poisson(jobs=3, seed=1, slots=4, runtime_s=runtime_s)
