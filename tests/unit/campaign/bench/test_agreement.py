"""What the benchmark of agreement measures, keeps and says, with a testbed that simulates."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from campaign.bench import agreement
from campaign.bench.agreement_table import as_json, as_text, parted
from campaign.bench.first_difference import first_difference
from campaign.bench.kept_jobs import KeptJobs
from campaign.core.errors import BenchmarkError
from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Evaluation
from campaign.schema.workload import WorkloadSettings
from campaign.simulation.calibration import CalibrationCase, simulated
from campaign.simulation.engine import NO_DELAYS, Nodes, simulate
from campaign.simulation.table import jobs_table
from campaign.workloads import load
from schedulers.policy import Policy
from schedulers.registry import adapter

SMALL = ("cluster.nodes=2", "workload.jobs=8")


def jobs(*starts: float | None) -> pa.Table:
    """Jobs 1, 2, .. of one slot and an hour's limit that arrive each second and run for 100 s."""
    count = len(starts)
    submit = [second * 10**9 for second in range(count)]
    start = [None if one is None else int(one * 1e9) for one in starts]
    known = {
        "job_id": list(range(1, count + 1)),
        "width": [1] * count,
        "requested_s": [3600.0] * count,
        "submit_ns": submit,
        "start_ns": start,
        "end_ns": [None if one is None else one + 100 * 10**9 for one in start],
    }
    columns = {
        field.name: pa.array(known.get(field.name, [None] * count), field.type)
        for field in JOBS_SCHEMA
    }
    return pa.table(columns)


def test_the_first_difference_is_that_of_the_earliest_start_beyond_the_tolerance() -> None:
    found = first_difference(jobs(0, 50, 9, 300), jobs(1, 90, 200, 300), tolerance_s=5)
    assert found is not None
    assert (found.job, found.measured_s, found.simulated_s) == (3, 9, 200)
    # Job 1 runs, and is alike within the tolerance; job 2 waits too; job 4 waits since 3 s.
    assert (found.alike, found.busy) == (1, 1)
    assert [one.job for one in found.queue] == [2, 3, 4]
    assert "after 1 starts alike: job 3 at 9 s, simulated at 200 s; 1 slots" in found.sentence
    assert "3 (1 slots, 60 min, since 2 s)" in found.sentence


def test_a_job_that_the_simulation_starts_first_is_found_as_well() -> None:
    found = first_difference(jobs(0, 50, 30), jobs(0, 50, 20), tolerance_s=5)
    assert found is not None and (found.job, found.alike) == (3, 1)


def test_starts_within_the_tolerance_and_jobs_that_never_started_are_no_difference() -> None:
    assert first_difference(jobs(0, 50), jobs(4, 46), tolerance_s=5) is None
    assert first_difference(jobs(0, None), jobs(0, 46), tolerance_s=5) is None


def case(label: str) -> CalibrationCase:
    """A case whose jobs are those that the simulation gives."""
    workload = load(WorkloadSettings(jobs=20, seed=3, duration_s=100), slots=8)
    schedule = simulate(workload.table, Nodes(2, 4), Policy(), NO_DELAYS)
    table = jobs_table(workload, schedule)
    return CalibrationCase(label, workload, Nodes(2, 4), Policy(), table, 10.0)


def delayed(one: CalibrationCase, job: int, seconds: float) -> CalibrationCase:
    """The same with a job that starts and ends later."""
    table = one.jobs
    for name in ("start_ns", "end_ns"):
        values = table.column(name).to_numpy().copy()
        values[job] += int(seconds * 1e9)
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values))
    return replace(one, jobs=table)


def test_the_table_says_how_far_points_are_apart_and_where_they_part() -> None:
    same = case("same")
    other = delayed(case("other"), 4, 60)
    text = as_text([same], [same, other], NO_DELAYS)
    assert "all starts are alike" in text
    job = other.jobs.column("job_id")[4].as_py()
    assert f"job {job} at" in text.split("  other")[-1]
    assert parted(same, NO_DELAYS) is None and parted(other, NO_DELAYS).job == job
    assert '"first_difference": null' in as_json([same], [other], NO_DELAYS)
    # What was fitted on doesn't count: the mean is over the other point and the one that is equal.
    last = text.split("mean distance over all points that were tested on")[1]
    waits = [np.mean(one.jobs.column("start_ns").to_numpy()) for one in (same, other)]
    submitted = np.mean(same.jobs.column("submit_ns").to_numpy())
    off = (waits[1] - waits[0]) / (waits[1] - submitted) / 2
    assert f"{off:.1%}" in next(line for line in last.splitlines() if "wait_mean_s" in line)


class MadeUpTestbed:
    """Simulates what it is given, two trials at once; those in `invalid` don't count at first."""

    def __init__(self, workload_of, invalid=()) -> None:
        self._workload_of = workload_of
        self._running = []
        self._invalid = set(invalid)
        self.started = []

    def room(self):
        return 2 - len(self._running)

    def start(self, trial):
        assert self.room() > 0
        self._running.append(trial)
        self.started.append((trial.number, trial.attempt))

    def wait(self, timeout_s):
        trial = self._running.pop(0)
        if trial.number in self._invalid:
            self._invalid.discard(trial.number)
            return [(trial, Evaluation("invalid", "the host was busy"))]
        workload = self._workload_of(trial)
        schedule = simulate(workload.table, Nodes(2, 4), Policy(), NO_DELAYS)
        return [(trial, Evaluation("ok", jobs=jobs_table(workload, schedule)))]


@pytest.fixture
def testbeds(monkeypatch):
    """The testbeds that were opened, the last one last, and what is invalid on the next one."""
    opened = []
    invalid = []

    class Backend:
        def __init__(self, *what) -> None:
            pass

        def prepare(self, begun_with):
            pass

        def check(self):
            pass

        def open_for(self, stack, workload_of):
            opened.append(MadeUpTestbed(workload_of, invalid))
            return opened[-1]

    monkeypatch.setattr(agreement, "LibvirtBackend", Backend)
    monkeypatch.setattr(agreement, "fit", lambda cases, known: NO_DELAYS)
    return opened, invalid


def test_each_point_is_measured_once_and_never_again(testbeds, tmp_path) -> None:
    opened, _ = testbeds
    results = agreement.run(SMALL, tmp_path, rounds=3)
    count = len(agreement.FITTED_AT) + 2 * len(agreement.TESTED_AT)
    assert [number for number, _ in opened[0].started] == list(range(count))
    assert set(results.files) == {"agreement.txt", "agreement.json", "agreement.parquet"}
    again = agreement.run(SMALL, tmp_path, rounds=3)
    assert len(opened) == 1 and again.table == results.table
    # Other jobs are another trial.
    agreement.run(("cluster.nodes=2", "workload.jobs=9"), tmp_path, rounds=1)
    assert len(opened[1].started) == count


def test_what_is_missing_is_measured_alone(testbeds, tmp_path) -> None:
    opened, _ = testbeds
    agreement.run(SMALL, tmp_path, rounds=1)
    next((tmp_path / "agreement").glob("*.parquet")).unlink()
    agreement.run(SMALL, tmp_path, rounds=1)
    assert len(opened[1].started) == 1


def test_an_invalid_trial_is_tried_once_more(testbeds, tmp_path) -> None:
    opened, invalid = testbeds
    invalid.append(3)
    agreement.run(SMALL, tmp_path, rounds=1)
    assert [one for one in opened[0].started if one[0] == 3] == [(3, 1), (3, 2)]


def test_lead_and_clock_of_a_trial_are_kept_with_its_jobs_and_simulated(tmp_path) -> None:
    kept = KeptJobs(tmp_path)
    kept.write("a" * 64, jobs(0, 1), lead_s=3.65, clock_s=7.5)
    kept.write("b" * 64, jobs(0, 1))
    assert (kept.lead_s("a" * 64), kept.lead_s("b" * 64)) == (3.65, None)
    assert (kept.clock_s("a" * 64), kept.clock_s("b" * 64)) == (7.5, None)
    assert kept.read("a" * 64).equals(jobs(0, 1))
    slurm = adapter("slurm")
    policy = slurm.policy(slurm.Params(SchedulerType="sched/backfill", bf_interval=300))
    one = replace(case("one"), policy=policy)
    late, early = (simulated(replace(one, lead_s=lead), NO_DELAYS) for lead in (0.0, 250.0))
    assert any(not a.equals(b) for a, b in zip(late, early, strict=True))


def test_jobs_that_cannot_be_read_are_named(tmp_path) -> None:
    kept = KeptJobs(tmp_path)
    kept.write("a" * 64, jobs(0, 1))
    assert kept.read("a" * 64).equals(jobs(0, 1))
    file = next(tmp_path.glob("*.parquet"))
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(BenchmarkError, match=str(file)):
        kept.read("a" * 64)
