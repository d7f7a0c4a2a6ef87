"""The sampler of Gaussian processes: constraints, stalls, failures and resumes.

It is tried where PyTorch is installed; where it isn't, the refusal is.
"""

from importlib.util import find_spec

import pytest

from campaign.core import optional
from campaign.core.errors import ConfigError
from campaign.schema.search import Bound, SamplerSettings
from search.samplers import check_sampler
from search.space import Categorical, Integer, Real, Space
from search.study import Study
from tests.conftest import CANNOT_RUN_HERE

SPACE = Space({"a": Integer(1, 100), "b": Real(0, 1), "c": Categorical(("x", "y"))}, {})
OBJECTIVES = {"u": "minimize", "v": "maximize"}
SETTINGS = SamplerSettings(name="gp", startup_trials=4)
FAILED = 5
STALLED = 6
LACKING = 7
WITH_PYTORCH = pytest.mark.skipif(
    find_spec("torch") is None,
    reason=f"{CANNOT_RUN_HERE}: PyTorch isn't installed, which is larger than all the rest "
    "together; pip install torch, and these tests run",
)


def metrics_of(point):
    at = point["a"] / 100
    return {
        "u": (at - 0.3) ** 2 + 0.1 * (point["c"] == "x"),
        "v": -((point["b"] - 0.7) ** 2) - (at - 0.6) ** 2,
        "w": at,
    }


def study_of(constraints=None):
    return Study(SPACE, OBJECTIVES, constraints or {}, SETTINGS, seed=3, distinct=True)


def settle(study, suggestion):
    metrics = metrics_of(suggestion.point)
    if suggestion.number == FAILED:
        study.fail(suggestion.number)
    elif suggestion.number == STALLED:
        study.stall(suggestion.number)
    elif suggestion.number == LACKING:
        study.tell(suggestion.number, {name: metrics[name] for name in OBJECTIVES})
    else:
        study.tell(suggestion.number, metrics)


def test_without_pytorch_it_is_refused_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(optional.EXTRAS, "gp", {"no_such_module": "PyTorch"})
    with pytest.raises(ConfigError, match="sampler=gp needs PyTorch") as caught:
        check_sampler(SETTINGS)
    assert "hpc-campaign[gp]" in caught.value.resolution
    check_sampler(SamplerSettings(name="tpe"))


@WITH_PYTORCH
@pytest.mark.parametrize("constraints", [{}, {"w": Bound(max=0.8, min=0.1)}])
def test_it_copes_with_failures_stalls_and_metrics_without_a_value(constraints):
    study = study_of(constraints)
    points = []
    for _ in range(12):
        suggestion = study.ask()
        settle(study, suggestion)
        points.append(suggestion.point)
    assert len({str(sorted(point.items())) for point in points}) == 12
    assert all(SPACE.misfit(point) == "" for point in points)


@WITH_PYTORCH
def test_a_search_that_was_interrupted_goes_on_as_it_would_have():
    whole = study_of()
    suggestions = []
    for _ in range(9):
        suggestions.append(whole.ask())
        settle(whole, suggestions[-1])
    again = study_of()
    for suggestion in suggestions[:8]:
        again.restore(suggestion)
        settle(again, suggestion)
    assert again.ask().point == suggestions[8].point
