"""All findings of a front at once, and which of its points is looked at closely."""

from dataclasses import replace

import pytest

from campaign.analysis.front.costs import TrialCosts
from campaign.analysis.front.findings import FrontInputs, compromise, front_findings
from campaign.core.trials import TrialRecord
from campaign.schema.search import Bound
from search.pareto import front
from search.space import Integer, Space
from tests.samples import jobs_table

OBJECTIVES = {"awrt_s": "minimize", "node_hours": "minimize"}
SPACE = Space({"a": Integer(1, 50), "b": Integer(1, 50)}, {})


def trial(number: int, a: int, b: int, *, baseline: bool = False) -> TrialRecord:
    return TrialRecord(
        number=number,
        point={"a": a, "b": b},
        attempt=1,
        outcome="ok",
        metrics={"awrt_s": 1000.0 / a + b / 50, "node_hours": 10.0 + a},
        baseline=baseline,
    )


RECORDS = [
    trial(0, 1, 50, baseline=True),
    *(trial(n, 1 + (7 * n) % 40, 1 + (11 * n) % 50) for n in range(1, 30)),
    trial(30, 20, 1),
    trial(31, 20, 9),
]


def inputs(records=RECORDS, jobs=lambda number, instance: None, constraints=None) -> FrontInputs:
    limits = constraints or {}
    best = front(records, OBJECTIVES, limits)
    baseline = next((one for one in records if one.baseline), None)
    return FrontInputs(records, best, baseline, SPACE, OBJECTIVES, limits, jobs)


def test_a_front_is_described_from_its_record():
    tables = {number: jobs_table(nodes=2 + number // 20) for number in range(32)}
    found = front_findings(inputs(jobs=lambda number, instance: tables[number]))
    assert found.outcomes == 32
    assert found.volume.final > found.volume.baseline
    assert found.correlations[0].value < -0.9
    assert found.importances["node_hours"][0].setting == "a"
    assert found.chosen in front(RECORDS, OBJECTIVES)
    assert {one.setting for one in found.effects} <= {"a", "b"}
    assert found.waits


def test_the_compromise_is_the_knee_not_an_end_and_not_the_baseline():
    chosen = compromise(TrialCosts.of(RECORDS, OBJECTIVES), front(RECORDS, OBJECTIVES))
    assert 5 < chosen.point["a"] < 30
    line = [
        replace_metrics(trial(n, n + 1, 1, baseline=n == 1), 10.0 - 4 * n, 2.0 + 4 * n)
        for n in range(3)
    ]
    assert compromise(TrialCosts.of(line, OBJECTIVES), line).number != 1
    assert compromise(TrialCosts.of(line[1:2], OBJECTIVES), line[1:2]).number == 1


def replace_metrics(record: TrialRecord, awrt: float, hours: float) -> TrialRecord:
    return record.model_copy(update={"metrics": {"awrt_s": awrt, "node_hours": hours}})


def test_without_a_front_there_is_nothing_to_look_at_but_settings():
    found = front_findings(inputs(constraints={"awrt_s": Bound(max=1)}))
    assert found.volume is None
    assert found.chosen is None
    assert found.effects == found.waits == ()
    assert found.importances["node_hours"]


def test_few_trials_have_no_importances():
    found = front_findings(inputs(RECORDS[:5]))
    assert found.importances == {"awrt_s": (), "node_hours": ()}
    assert front_findings(inputs([])).outcomes == 0


@pytest.mark.parametrize("missing", [0, "chosen"])
def test_without_the_jobs_of_both_trials_no_waits_are_compared(missing):
    chosen = front_findings(inputs()).chosen.number
    gone = chosen if missing == "chosen" else missing
    jobs = {number: jobs_table() for number in range(32) if number != gone}
    assert front_findings(inputs(jobs=lambda number, _: jobs.get(number))).waits == ()
    whole = replace(inputs(), jobs=lambda number, instance: jobs_table())
    assert front_findings(whole).waits


def on_instances(record: TrialRecord, seen: int, held_out: int) -> TrialRecord:
    every = [record.model_copy(update={"instance": place}) for place in range(seen + held_out)]
    replicates = tuple(every[:seen]) if seen > 1 else ()
    return record.model_copy(update={"replicates": replicates, "held_out": tuple(every[seen:])})


@pytest.mark.parametrize(
    ("seen", "held_out", "wanted", "unseen"),
    [
        (1, 0, [0], False),
        (1, 2, [1, 2], True),
        (5, 0, [0, 1, 2, 3, 4], False),
        (5, 2, [0, 1, 2, 3, 4], False),
        (9, 5, [9, 10, 11, 12, 13], True),
    ],
)
def test_waits_are_of_what_is_held_out_unless_that_is_little(seen, held_out, wanted, unseen):
    asked = set()

    def jobs_of(number, instance):
        asked.add(instance)
        return jobs_table(nodes=2 + number // 20, seed=instance)

    records = [on_instances(one, seen, held_out) for one in RECORDS]
    found = front_findings(inputs(records, jobs=jobs_of))
    assert sorted(asked) == wanted
    assert (found.wait_instances, found.waits_unseen) == (len(wanted), unseen)
