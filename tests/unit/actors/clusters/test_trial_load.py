"""What the load of a trial's hosts says of how the trial ended."""

import pytest

from actors.clusters.trial_load import TrialLoad, judged_load
from campaign.core.host_load import HostLoad, LoadSample
from campaign.core.phases import Phase

SPANS = [
    (Phase.STARTED, 0.0, 50.0),
    (Phase.FIRST_JOB, 50.0, 60.0),
    (Phase.WORKLOAD, 60.0, 100.0),
    (Phase.COLLECTED, 100.0, 110.0),
]
NOW = 110.0


def samples(foreign_while, *, cpus=2):
    """Samples of 5 s; `foreign_while` are the CPUs of others while jobs run, none before and
    after. A node that wants a CPU waits as fair shares have it."""
    made = []
    for end in range(5, 111, 5):
        foreign = foreign_while if 50 < end <= 100 else 0.0
        share = foreign / (foreign + 1)
        made.append(
            LoadSample(
                NOW - end,
                5.0,
                cpus,
                cpu=share,
                memory=0.0,
                io=0.0,
                foreign_cpus=cpus * share,
                own_cpus=cpus * (1 - share),
                waited_s=5 * share,
                ran_s=5 * (1 - share),
            )
        )
    return made


def test_only_the_time_in_which_jobs_ran_is_judged():
    found = judged_load(SPANS, {"h": samples(4.0)}, NOW)
    assert found.taken == pytest.approx(0.64)
    assert (found.cpu_pressure_pct, found.taken_pct) == (80, 64)
    by_phase = {load.phase: load.taken for load in found.phases}
    assert by_phase[Phase.STARTED] == by_phase[Phase.COLLECTED] == 0.0
    assert by_phase[Phase.FIRST_JOB] == by_phase[Phase.WORKLOAD] == pytest.approx(0.64)


def test_of_several_hosts_the_busiest_counts():
    found = judged_load(SPANS, {"a": samples(0.0), "b": samples(4.0), "c": samples(2.0)}, NOW)
    assert found.busiest is not None and found.busiest.host == "b"
    assert len(found.phases) == 3 * len(SPANS)


@pytest.mark.parametrize("outcome", ["ok", "stalled", "scheduler_failed"])
def test_a_busy_host_is_no_cause_of_what_it_cant_cause(outcome):
    found = judged_load(SPANS, {"h": samples(4.0)}, NOW)
    assert found.explained(outcome, "why") == "why"
    assert found.held_up(outcome) == ""


def test_the_cause_stands_on_the_first_line_of_a_reason():
    found = judged_load(SPANS, {"h": samples(4.0)}, NOW)
    text = found.explained("infrastructure_failed", "n1 didn't boot\nits console says")
    first, _, rest = text.partition("\n")
    assert first.startswith("n1 didn't boot; likely cause: host h was busy while jobs ran: CPU")
    assert rest == "its console says"


def test_a_failure_before_any_job_ran_is_explained_by_all_that_was_before():
    loaded = [(Phase.STARTED, 50.0, 100.0)]
    found = judged_load(loaded, {"h": samples(4.0)}, NOW)
    assert "was busy meanwhile" in found.cause("infrastructure_failed")
    assert found.taken is None  # nothing was measured that others could spoil


def test_a_quiet_host_explains_nothing_and_an_unknown_one_neither():
    for found in (judged_load(SPANS, {"h": samples(0.0)}, NOW), judged_load(SPANS, {}, NOW)):
        assert found.explained("invalid", "why") == "why"
        assert found.held_up("invalid") == ""
    assert judged_load(SPANS, {"h": []}, NOW) == TrialLoad(replayed=True)


def test_memory_pressure_is_named_but_waiting_for_quiet_would_not_help():
    swapping = HostLoad.model_validate(
        {"host": "h", "phase": "workload", "cpus": 2, "memory": [0.3, 0.5, 0.8]}
    )
    found = TrialLoad((), swapping, replayed=True)
    assert found.cause("invalid") == "host h was busy while jobs ran: memory pressure 30 to 80 %"
    assert found.held_up("invalid") == ""
