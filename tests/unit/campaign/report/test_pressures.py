"""The pressure of hosts in report and MLflow, and what a campaign says of a host at its begin."""

from campaign.core.host_load import HostLoad, LoadRange
from campaign.core.phases import Phase
from campaign.core.trials import TrialRecord
from campaign.report.pressures import UNKNOWN, HostPressure, pressures_of
from campaign.tracking.run_values import metrics_of

CALM = HostLoad(
    host="a",
    phase=Phase.WORKLOAD,
    cpus=2,
    cpu=LoadRange(0.5, 0.6, 0.7),
    memory=LoadRange(0, 0, 0),
    io=LoadRange(0, 0.01, 0.04),
    foreign_cpus=0.1,
    taken=0.02,
    by_nodes=True,
)
CROWDED = CALM.model_copy(
    update={"cpu": LoadRange(0.84, 0.9, 0.97), "foreign_cpus": 1.6, "taken": 0.64}
)
OLD = HostLoad(host="b", phase=Phase.WORKLOAD, cpus=4)


def record(number, *loads):
    return TrialRecord(number=number, point={}, attempt=1, outcome="ok", loads=loads)


def test_each_host_has_a_row_over_its_trials_and_unknown_stays_unknown():
    booting = CROWDED.model_copy(update={"phase": Phase.STARTED})
    found = pressures_of([record(0, booting, CALM), record(1, CROWDED), record(2, OLD)])
    assert found == [
        HostPressure("a", 2, "50 to 97 %", "0 to 0 %", "0 to 4 %", "0.1 to 1.6 of 2", "2 to 64 %"),
        HostPressure("b", 1, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    ]
    assert pressures_of([record(0)]) == []


def test_mlflow_has_the_pressure_of_the_worst_host_while_jobs_ran():
    booting = CROWDED.model_copy(update={"phase": Phase.STARTED})
    other = CALM.model_copy(update={"host": "c"})
    assert metrics_of(record(0, booting, other, CALM, OLD)) == {
        "pressure.cpu": 0.6,
        "pressure.memory": 0.0,
        "pressure.io": 0.01,
    }
    assert metrics_of(record(0, OLD)) == {}


def test_a_campaign_says_of_each_host_how_busy_it_is_and_what_it_cant_tell():
    assert CALM.introduction == (
        "host a: CPU pressure 50 to 70 %, other programs used 0.1 of 2 CPUs, which took 2 % of "
        "what nodes wanted"
    )
    said = CROWDED.introduction
    assert said.startswith("host a is busy: CPU pressure 84 to 97 %, other programs used 1.6 of 2")
    assert said.endswith("or set testbed.wait_for_quiet_s")
    assert OLD.introduction == (
        "host b: pressure and load are unknown; its kernel tells no pressure (/proc/pressure); "
        "the load of others can't be told there"
    )
