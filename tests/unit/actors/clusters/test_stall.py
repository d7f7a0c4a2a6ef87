"""When a workload has come to a halt: only where jobs wait and nothing changes for longer than any
job runs."""

from hypothesis import given
from hypothesis import strategies as st

from actors.clusters.stall import StallWatch

HALTED = {"1": "", "2": "Resources", "3": "Priority"}


def test_nothing_that_changes_for_long_enough_is_a_stall_and_says_who_waits_for_what():
    watch = StallWatch(60.0)
    assert [watch.observe(HALTED, now) for now in (0.0, 30.0, 60.0)] == ["", "", ""]
    found = watch.observe(HALTED, 61.0)
    assert (
        found == "nothing has started or ended for 61 s, 1 jobs run and 2 wait: Resources (1); "
        "Priority (1)"
    )


def test_any_start_or_end_or_arrival_is_progress():
    for change in (
        {"1": "", "2": "", "3": "Priority"},
        {"2": "Resources", "3": "Priority"},
        HALTED | {"4": "Priority"},
    ):
        watch = StallWatch(60.0)
        assert (
            watch.observe(HALTED, 0.0)
            == watch.observe(change, 59.0)
            == watch.observe(change, 100.0)
            == ""
        )
        assert watch.observe(change, 120.0)


def test_another_reason_to_wait_is_no_progress():
    watch = StallWatch(60.0)
    watch.observe(HALTED, 0.0)
    assert watch.observe(HALTED | {"3": "Resources"}, 61.0)


def test_jobs_that_run_and_a_workload_that_still_arrives_are_none():
    running = StallWatch(1.0)
    arriving = StallWatch(1.0)
    assert not any(running.observe({"1": ""}, now) for now in range(0, 100, 10))
    assert not any(
        arriving.observe(pending, now) for now, pending in enumerate([HALTED, None] * 20)
    )


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=40))
def test_however_many_reasons_there_are_a_few_are_shown(reasons):
    watch = StallWatch(1.0)
    pending = {str(number): reason for number, reason in enumerate(reasons)}
    watch.observe(pending, 0.0)
    found = watch.observe(pending, 2.0)
    assert f"{len(reasons)} wait" in found
    assert ("other reasons" in found) == (len(set(reasons)) > 3)
