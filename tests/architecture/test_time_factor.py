"""Tests' own time limits: what a slow machine gets, and what a test that took too long says."""

import re
from types import SimpleNamespace

import pytest

from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase
from tests import limits


class Item:
    """A test with these markers, the nearest first."""

    def __init__(self, *markers):
        self.markers = [marker.mark for marker in markers]

    def get_closest_marker(self, name):
        return next((marker for marker in self.markers if marker.name == name), None)

    def add_marker(self, marker, append):
        assert not append
        self.markers.insert(0, marker.mark)


def test_every_limit_is_as_many_times_longer():
    stated = Item(pytest.mark.timeout(600))
    of_its_own = Item(pytest.mark.timeout(900, method="thread"), pytest.mark.timeout(600))
    plain = Item()
    limits.stretch([stated, of_its_own, plain], 3.0, 120.0)
    assert [one.get_closest_marker("timeout").args for one in (stated, of_its_own, plain)] == [
        (1800,),
        (2700,),
        (360,),
    ]
    assert of_its_own.get_closest_marker("timeout").kwargs == {"method": "thread"}


@pytest.mark.parametrize(("said", "factor"), [(None, 1.0), ("", 1.0), ("2.5", 2.5)])
def test_the_environment_says_how_slow_a_machine_is(monkeypatch, said, factor):
    monkeypatch.delenv(limits.VARIABLE, raising=False)
    if said is not None:
        monkeypatch.setenv(limits.VARIABLE, said)
    assert limits.default_factor() == factor


def test_a_test_that_takes_too_long_names_the_phases_of_its_trials(monkeypatch):
    monkeypatch.setattr(limits, "_clocks", type(limits._clocks)())
    limits.watch_clocks(monkeypatch)
    late = pytest.fail.Exception("Timeout (>600.0s) from pytest-timeout.")
    limits.explain(late)
    assert late.msg == "Timeout (>600.0s) from pytest-timeout."
    clock = PhaseClock()
    clock.reached(Phase.PLACED, Phase.WORKLOAD)
    clock.detail("3 of 8 jobs done")
    limits.explain(late)
    said = r"In phase workload for \d+ s \(3 of 8 jobs done\). Longer limits: --time-factor"
    assert re.search(said, late.msg)
    other = pytest.fail.Exception("it is red")
    limits.explain(other)
    limits.explain(SimpleNamespace())
    assert other.msg == "it is red"
