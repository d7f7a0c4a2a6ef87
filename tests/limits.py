"""Time limits of tests: longer on slow machines, and told with what a trial was doing."""

import os
import time
import weakref

import pytest

from campaign.core.phase_clock import PhaseClock

VARIABLE = "CAMPAIGN_TEST_TIME_FACTOR"
_clocks: "weakref.WeakSet[PhaseClock]" = weakref.WeakSet()


def default_factor() -> float:
    """By how much the limits of tests are longer: what the environment says, else 1."""
    return float(os.environ.get(VARIABLE) or 1)


def stretch(items, factor, stated_s):
    """Make each test's time limit `factor` times longer; `stated_s` holds for tests without one."""
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds, *rest = marker.args if marker and marker.args else (stated_s,)
        options = marker.kwargs if marker else {}
        # The nearest marker counts: it is put in front of the test's own.
        item.add_marker(pytest.mark.timeout(seconds * factor, *rest, **options), append=False)


def watch_clocks(monkeypatch):
    """Know every phase clock that is made from now on, as long as somebody uses it."""
    made = PhaseClock.__init__

    def noted(clock):
        made(clock)
        _clocks.add(clock)

    monkeypatch.setattr(PhaseClock, "__init__", noted)


def phases_now() -> str:
    """What the trials of this process are doing; empty if there are none."""
    now = time.time()
    found = [(one.status.since, one.status) for one in list(_clocks)]
    return "; ".join(
        f"phase {status.phase} for {now - since:.0f} s" + (status.detail and f" ({status.detail})")
        for since, status in sorted(found, key=lambda one: one[0])
    )


def explain(error: BaseException) -> None:
    """Add to the message of a test that took too long what its trials were doing then."""
    phases = phases_now()
    if isinstance(error, pytest.fail.Exception) and "Timeout" in str(error.msg) and phases:
        error.msg = f"{error.msg} In {phases}. Longer limits: --time-factor, or {VARIABLE}."
