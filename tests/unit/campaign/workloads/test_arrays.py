"""Arrays whose tasks are alike stay arrays; tasks of others are single jobs, and are counted."""

import pyarrow as pa

from campaign.core.cluster import ClusterModel
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.levers import Lever
from campaign.workloads import arrays
from campaign.workloads.known_names import known_to
from campaign.workloads.traits import traits_of


def workload(*rows, **traits) -> Workload:
    """Jobs 0, 1, .., each of an arrival and a width."""
    table = [
        {
            "job_id": number,
            "arrival_s": arrival_s,
            "width": width,
            "runtime_s": 1 + number,
            "requested_s": 60,
            "user": 0,
        }
        for number, (arrival_s, width) in enumerate(rows)
    ]
    return Workload("w", pa.Table.from_pylist(table, WORKLOAD_SCHEMA), traits=traits_of(traits))


def told(jobs: Workload) -> Workload:
    return known_to(ClusterModel(), jobs, {Lever.ARRAYS})[0]


def test_tasks_that_arrive_together_and_ask_for_the_same_are_an_array() -> None:
    jobs = workload((0, 1), (0, 1), (5, 2), array=[7, 7, None], array_limit=[1, 1, None])
    found = told(jobs)
    assert [job.traits.array for job in found.jobs()] == [7, 7, None]
    assert [job.traits.array_limit for job in found.jobs()] == [1, 1, None]
    assert found.sentences == []


def test_tasks_that_differ_are_single_jobs_and_are_counted() -> None:
    rows = ((0, 1), (0, 2), (3, 1), (4, 1), (5, 1), (5, 1))
    found = told(workload(*rows, array=[7, 7, 8, 8, 9, 9], array_limit=[1, 1, 2, 2, 3, 3]))
    assert [job.traits.array for job in found.jobs()] == [None] * 4 + [9, 9]
    assert [job.traits.array_limit for job in found.jobs()] == [None] * 4 + [3, 3]
    assert found.sentences == [f"{arrays.UNLIKE}: 4 jobs"]
    assert told(found).sentences == found.sentences


def test_one_task_is_no_array(monkeypatch) -> None:
    assert [job.traits.array for job in told(workload((0, 1), array=[7])).jobs()] == [None]


def test_an_array_that_is_too_large_is_single_jobs(monkeypatch) -> None:
    monkeypatch.setattr(arrays, "MOST_TASKS", 2)
    found = told(workload((0, 1), (0, 1), (0, 1), array=[7, 7, 7]))
    assert found.sentences == [f"{arrays.LARGE}: 3 jobs"]


def test_what_is_not_obeyed_is_counted_as_not_replayed() -> None:
    jobs = workload((0, 1), (0, 2), array=[7, 7], array_limit=[1, 1])
    found, _ = known_to(ClusterModel(), jobs, set())
    assert found.sentences == [
        "array of 2 jobs: not replayed",
        "limit on an array's tasks at once of 2 jobs: not replayed",
    ]
