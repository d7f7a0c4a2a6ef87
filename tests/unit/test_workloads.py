"""The demo workload's promises, and SWF traces as people really write them."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.errors import ConfigError, WorkloadError
from campaign.jobs import WORKLOAD_SCHEMA, Workload
from campaign.model import WorkloadSettings
from campaign.workloads import load


def line(
    job: float = 1, submit: float = 0, run: float = 10, width: float = 2, requested: float = 60, user: float = 3
) -> str:
    return f"{job} {submit} 5 {run} {width} -1 -1 {width} {requested} -1 1 {user} 1 -1 1 1 -1 -1"


@pytest.fixture
def trace(tmp_path: Path):
    def load_trace(*lines: str, slots: int = 8, **settings: object) -> Workload:
        file = tmp_path / "trace.swf"
        file.write_text("".join(f"{each}\n" for each in lines))
        return load(WorkloadSettings(kind="swf", path=str(file), jobs=1000, **settings), slots=slots)

    return load_trace


@settings(deadline=None)
@given(jobs=st.integers(1, 200), seed=st.integers(0, 2**32), slots=st.integers(1, 64), duration=st.floats(5, 86_400))
def test_demo_jobs_fit_and_fill_the_smallest_cluster(jobs: int, seed: int, slots: int, duration: float) -> None:
    workload = load(WorkloadSettings(jobs=jobs, seed=seed, duration_s=duration), slots=slots)
    drawn = list(workload.jobs())
    assert workload.table.schema == WORKLOAD_SCHEMA
    assert len(drawn) == len(workload) == jobs
    assert drawn[0].arrival_s == 0
    assert [job.arrival_s for job in drawn] == sorted(job.arrival_s for job in drawn)
    assert all(1 <= job.width <= slots for job in drawn)
    assert all(0 < job.runtime_s <= job.requested_s and job.requested_s % 60 == 0 for job in drawn)
    ideal = sum(job.width * job.runtime_s for job in drawn) / slots
    assert math.isclose(ideal, 0.9 * duration, rel_tol=0.01)


def test_demo_is_mixed_enough_to_queue_and_backfill() -> None:
    jobs = list(load(WorkloadSettings(), slots=8).jobs())
    assert {1, 8} < {job.width for job in jobs}
    assert len({job.requested_s for job in jobs}) >= 3
    burst = [job for job in jobs if job.arrival_s == 0]
    assert sum(job.width for job in burst) > 2 * 8


def test_demo_depends_on_the_seed_and_on_nothing_else() -> None:
    one, same, other = (load(WorkloadSettings(seed=seed), slots=4).hash for seed in (1, 1, 2))
    assert one == same != other


def test_demo_respects_max_width() -> None:
    assert max(job.width for job in load(WorkloadSettings(max_width=3), slots=16).jobs()) == 3


def test_swf_columns_are_those_of_the_format(trace) -> None:
    workload = trace("; Version: 2.2", "", line(4, 100, 10, 2, 60, 3), line(5, 130, 20, 4, -1, -1))
    first, second = workload.jobs()
    assert first == (4, 0.0, 2, 10.0, 60.0, 3)
    assert second == (5, 30.0, 4, 20.0, 20.0, 0)
    assert workload.notes == {}


def test_swf_width_is_what_was_requested_or_else_allocated(trace) -> None:
    allocated = "1 0 0 10 3 -1 -1 -1 60 -1 1 1 1 -1 1 1 -1 -1"
    both = "2 0 0 10 3 -1 -1 5 60 -1 1 1 1 -1 1 1 -1 -1"
    assert [job.width for job in trace(allocated, both).jobs()] == [3, 5]


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        ((line() + " 7 8 9",), "extra fields ignored"),
        ((line(1, 50), line(2, 10)), "jobs put in order of arrival"),
        ((line(run=0),), "zero run times raised to 1 s"),
        ((line(run=100, requested=60),), "requested times raised to run times"),
        ((line(), " ".join(["-1"] * 18)), "unusable jobs dropped"),
        ((line(), line(2, run=-1)), "unusable jobs dropped"),
        ((line(7), line(7)), "jobs with another's number renumbered"),
    ],
)
def test_swf_repairs_are_counted_and_refused_when_strict(trace, lines: tuple[str, ...], note: str) -> None:
    workload = trace(*lines)
    assert workload.notes == {note: "1 jobs"}
    jobs = list(workload.jobs())
    assert len({job.job_id for job in jobs}) == len(jobs)
    assert all(0 < job.runtime_s <= job.requested_s and job.arrival_s >= 0 for job in jobs)
    assert jobs[0].arrival_s == 0
    with pytest.raises(WorkloadError, match=note.replace("(", r"\(")):
        trace(*lines, strict=True)


def test_swf_scaling_and_cutting_are_noted(trace) -> None:
    workload = trace(line(1, 0), line(2, 100, width=64), time_scale=0.1, max_width=4)
    assert [(job.arrival_s, job.runtime_s, job.width) for job in workload.jobs()] == [(0, 1, 2), (10, 1, 4)]
    assert workload.notes == {"jobs cut to the widest allowed": "1 jobs, 4 slots", "times scaled": "by 0.1"}


def test_swf_takes_the_first_jobs_to_arrive(tmp_path: Path) -> None:
    file = tmp_path / "t.swf"
    file.write_text("\n".join([line(1, 30), line(2, 10), line(3, 20)]))
    workload = load(WorkloadSettings(kind="swf", path=str(file), jobs=2), slots=4)
    assert [job.job_id for job in workload.jobs()] == [2, 3]


@pytest.mark.parametrize(
    "broken", ["1 2 3", line().replace("60", "sixty"), line().replace("60", "nan"), "gibberish", "1 " * 17]
)
def test_swf_broken_line_is_named_with_file_and_number(trace, broken: str) -> None:
    with pytest.raises(WorkloadError, match=r"trace\.swf, line 4: ") as caught:
        trace("; header", line(1), "", broken, line(2))
    assert broken.strip() in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "no jobs"), (b"; only a header\n", "no jobs"), (bytes(range(256)), "not a text file")]
)
def test_swf_files_without_jobs(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "t.swf"
    file.write_bytes(content)
    with pytest.raises(WorkloadError, match=says):
        load(WorkloadSettings(kind="swf", path=str(file)), slots=4)


def test_swf_binary_without_zeros_is_a_broken_line(tmp_path: Path) -> None:
    file = tmp_path / "t.swf"
    file.write_bytes(b"\xff\xfe\x80junk \x9c\n")
    with pytest.raises(WorkloadError, match="line 1"):
        load(WorkloadSettings(kind="swf", path=str(file)), slots=4)


def test_swf_that_is_all_unknown_has_no_usable_job(trace) -> None:
    with pytest.raises(WorkloadError, match="no job has"):
        trace(" ".join(["-1"] * 18))


def test_swf_path_is_a_folder_missing_or_not_given(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="Is a directory"):
        load(WorkloadSettings(kind="swf", path=str(tmp_path)), slots=4)
    with pytest.raises(WorkloadError, match="No such file"):
        load(WorkloadSettings(kind="swf", path=str(tmp_path / "absent")), slots=4)
    with pytest.raises(ConfigError, match=r"workload\.path"):
        load(WorkloadSettings(kind="swf"), slots=4)


def test_swf_of_many_lines_stays_columnar(trace) -> None:
    workload = trace(*(line(number, number) for number in range(1, 20_001)))
    assert len(workload) == 1000
    assert np.array_equal(workload.table.column("job_id").to_numpy(), np.arange(1, 1001))
