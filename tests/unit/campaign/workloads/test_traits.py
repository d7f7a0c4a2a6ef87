"""What jobs have beside time and width goes along with them, through every step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.records import kept_workload
from campaign.schema.workload import WorkloadSettings
from campaign.workloads.traces import workload_of
from campaign.workloads.traits import OUTSIDE, picked, tied, traits_of
from campaign.workloads.transform import transform

TRAITS = {
    "gpus": [1, None, 2, None],
    "partition": ["long", "short", None, "long"],
    "after": [None, [1], [1, 7], [3]],
    "after_kind": [None, "afterok", "afterany", "afterok"],
    "recorded_wait_s": [5.0, None, 7.0, 0.0],
}


def workload(**traits: object) -> Workload:
    rows = [
        {"job_id": number, "arrival_s": 10.0 * place, "width": 1, "runtime_s": 5.0, "user": 1}
        | {"requested_s": 60.0}
        for place, number in enumerate((1, 2, 3, 4))
    ]
    table = pa.Table.from_pylist(rows, schema=WORKLOAD_SCHEMA)
    return Workload("w", table, traits=traits_of(traits or TRAITS))


def test_columns_of_nulls_are_none() -> None:
    found = traits_of(TRAITS | {"qos": [None] * 4})
    assert found.column_names == [
        "gpus",
        "partition",
        "after",
        "after_kind",
        "recorded_wait_s",
    ]
    assert picked(found, np.array([3, 1])).to_pydict() == {
        "partition": ["long", "short"],
        "after": [[3], [1]],
        "after_kind": ["afterok", "afterok"],
        "recorded_wait_s": [0.0, None],
    }


def test_a_name_that_is_no_trait_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        traits_of({"colour": ["red"]})


def test_dependencies_follow_new_numbers_and_lost_ones_are_counted() -> None:
    found, lost = tied(traits_of(TRAITS), {1: 11, 3: 13})
    assert found.column("after").to_pylist() == [None, [11], [11], [13]]
    assert lost == 1
    found, lost = tied(traits_of(TRAITS), {3: 3})
    assert found.column("after_kind").to_pylist() == [None, None, None, "afterok"]
    assert lost == 3


def test_traits_stay_with_their_jobs_when_some_are_left_out_and_times_are_scaled() -> None:
    settings = WorkloadSettings(kind="swf", window_s=[10.0, 100.0], time_scale=2.0)
    found = transform(workload(), settings, slots=4)
    assert found.table.column("job_id").to_pylist() == [2, 3, 4]
    assert found.traits.to_pydict() == {
        "gpus": [None, 2, None],
        "partition": ["short", None, "long"],
        "after": [None, None, [3]],
        "after_kind": [None, None, "afterok"],
        "recorded_wait_s": [None, 14.0, 0.0],
    }
    assert found.notes[OUTSIDE] == "3 jobs"


def test_traits_stay_with_their_jobs_when_a_trace_is_put_in_order() -> None:
    jobs = {
        "job_id": [8, 9, -1, 7],
        "arrival_s": [30, 20, 10, 0],
        "width": [1, 1, 1, 0],
        "runtime_s": [5, 5, 5, 5],
        "requested_s": [9, 9, 9, 9],
        "user": [1, 1, 1, 1],
    }
    traits = traits_of({"gpus": [8, 9, None, 7], "after": [[9], None, None, None]})
    columns = {name: np.array(column, float) for name, column in jobs.items()}
    found = workload_of(columns, {}, file=Path("t"), strict=False, machine=4, traits=traits)
    assert found.table.column("job_id").to_pylist() == [1, 2, 3]
    assert found.traits.to_pydict() == {"gpus": [None, 9, 8], "after": [None, None, [2]]}


@pytest.mark.parametrize(
    "other",
    [
        {"gpus": [1, None, 2, 1]},
        {"gpus": [None, 1, 2, None]},
        {"partition": ["long", "shor", "t", "long"]},
        {"after": [[1], None, [1, 7], [3]]},
    ],
)
def test_other_traits_are_another_workload(other: dict[str, object]) -> None:
    assert workload().hash != workload(**(TRAITS | other)).hash
    assert workload().hash != replace(workload(), traits=pa.table({})).hash


def test_equal_traits_are_the_same_workload_however_they_are_stored() -> None:
    chunks = pa.chunked_array([["long", "short"], [None, "long"]])
    assert workload().hash == workload(**(TRAITS | {"partition": chunks})).hash


def test_traits_are_kept_with_the_results(tmp_path: Path) -> None:
    file = tmp_path / "workload.parquet"
    content = kept_workload.content_of(workload())
    file.write_bytes(content)
    found = kept_workload.read(file, kept_workload.digest(content))
    assert found.traits.to_pydict() == workload().traits.to_pydict()
    assert found.hash == workload().hash
