"""Which error explains the others, and work that runs at once."""

import asyncio

import pytest

from actors.clusters.failures import NodeLost, cause_of, outcome_of, run_all
from campaign.core.errors import InfrastructureError, SchedulerError, StallError

LOST = NodeLost("n1", "its VM is shutoff", "")


async def value(of, after=0.0):
    await asyncio.sleep(after)
    return of


async def failing(error, after=0.0):
    await asyncio.sleep(after)
    raise error


def test_a_lost_node_explains_the_scheduler_and_that_the_rest():
    errors = [OSError("x"), InfrastructureError("y"), SchedulerError("z"), LOST]
    for count in (4, 3):
        group = ExceptionGroup("", [ExceptionGroup("", errors[:1]), *errors[1:count]])
        assert cause_of(group) is errors[count - 1]
    assert outcome_of(LOST) == "infrastructure_failed"
    assert outcome_of(StallError("s")) == "stalled"


def test_a_bug_among_errors_is_raised():
    with pytest.raises(ZeroDivisionError):
        cause_of(ExceptionGroup("", [LOST, ZeroDivisionError()]))


def test_results_come_in_the_order_of_the_work():
    assert asyncio.run(run_all(value("a", 0.02), value("b"))) == ("a", "b")


def test_a_failure_cancels_the_others_and_is_raised_itself():
    ended = []

    async def slow():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")

    with pytest.raises(SchedulerError, match="died"):
        asyncio.run(run_all(slow(), failing(SchedulerError("died"))))
    assert ended == ["slow"]
