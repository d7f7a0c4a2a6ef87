"""Why a job waited, as a timeline made of what the simulation noted."""

from types import SimpleNamespace

import numpy as np

from campaign.simulation.limits import FIRST
from campaign.simulation.site_reasons import LIMITS, PRIORITY, RESOURCES
from campaign.simulation.site_waits import WaitReason, waits_of

NS = 10**9


def noted(*rows, decided=(50, 90), ran=(True, True)):
    """A schedule of two jobs, submitted after 2 and 10 s, with these (time in s, job, reason)."""
    reasons = np.array(rows, np.int64).reshape(-1, 3)
    reasons[:, 0] *= NS
    schedule = SimpleNamespace(
        accepted=np.array([2, 10]) * NS,
        decided=np.array(decided) * NS,
        freed=np.array([70, 120]) * NS,
    )
    return SimpleNamespace(schedule=schedule, reasons=reasons, ran=np.array(ran))


def spans(waits):
    return [(wait.since_s, wait.until_s, wait.why.partition(":")[0]) for wait in waits]


def test_a_job_has_a_reason_at_each_moment_until_it_starts() -> None:
    found = noted((11, 1, PRIORITY), (12, 0, RESOURCES), (40, 1, RESOURCES))
    assert spans(waits_of(found, 1)) == [
        (10, 11, "not looked at yet"),
        (11, 40, "priority"),
        (40, 90, "resources"),
    ]
    assert spans(waits_of(found, 0)) == [(2, 12, "not looked at yet"), (12, 50, "resources")]


def test_of_reasons_at_one_moment_the_last_one_counts_and_equal_ones_are_one() -> None:
    found = noted((11, 1, PRIORITY), (11, 1, RESOURCES), (20, 1, RESOURCES), (90, 1, PRIORITY))
    assert spans(waits_of(found, 1)) == [(10, 11, "not looked at yet"), (11, 90, "resources")]


def test_a_limit_is_named_and_a_job_that_never_ran_waits_to_the_end() -> None:
    found = noted((11, 1, LIMITS + FIRST), decided=(50, -1), ran=(True, False))
    (before, last) = waits_of(found, 1)
    assert before == WaitReason(10, 11, "not looked at yet")
    assert (last.until_s, last.why.split()[:2]) == (120, ["limit", "on"])
