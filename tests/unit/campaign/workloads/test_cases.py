"""Traces that were misread once, with their right results, and a neighbour of each kind."""

import io
from pathlib import Path

import pytest

from campaign.config.compose import compose
from campaign.core.errors import WorkloadError
from campaign.core.jobs import Workload
from campaign.core.trials import Trial
from campaign.simulation.testbed import SimulationTestbed
from campaign.workloads.batsim import KILLED, read_batsim
from campaign.workloads.sacct import read_sacct
from campaign.workloads.sacct_records import NEVER
from campaign.workloads.statistics import describe
from campaign.workloads.swf import parse_swf, read_swf, write_swf
from campaign.workloads.swf_records import MERGED, PARTS, WITHDRAWN
from campaign.workloads.table import read_table
from campaign.workloads.traces import MACHINE, NO_REQUEST

CASES = Path(__file__).parent / "cases"


def swf(text: str, *, strict: bool = False) -> Workload:
    return parse_swf(io.BytesIO(text.encode()), file=Path("t.swf"), strict=strict)


def starts(name: str, *overrides: str) -> list[float]:
    """When the jobs of a case start on 4 slots, in seconds."""
    composed = compose(
        [
            "testbed=simulation",
            "workload=swf",
            f"workload.path={CASES / name}",
            "cluster.nodes=4",
            "cluster.slots_per_node=1",
            *overrides,
        ]
    )
    workload = read_swf(CASES / name)
    testbed = SimulationTestbed(composed.campaign, composed.schedulers, composed.space, workload)
    evaluation = testbed.evaluate(Trial(number=0, point={}))
    assert evaluation.jobs is not None
    return [value / 1e9 for value in evaluation.jobs.column("start_ns").to_pylist()]


def test_byte_order_mark_before_a_header_is_no_part_of_it() -> None:
    assert read_swf(CASES / "swf-bom-header.swf").machine_slots == 8


def test_byte_order_mark_before_a_job_is_no_part_of_it() -> None:
    text = "\ufeff1 0 -1 600 8 -1 -1 8 1800 -1 1 1 1 -1 1 -1 -1 -1\r\n"
    assert swf(text, strict=True).table.column("width").to_pylist() == [8]


def test_names_stand_where_nobody_needs_a_number_and_are_kept() -> None:
    workload = read_swf(CASES / "swf-text-fields.swf")
    assert workload.table.column("user").to_pylist() == [1, 2]
    assert workload.table.column("requested_s").to_pylist() == [1800.0, 86400.0]
    assert workload.notes == {
        "names of users": "u1 is 1, u2 is 2",
        "names of groups": "physics, bio",
        "names of queues": "normal",
        "names of partitions": "main",
        "lines with names where the format has numbers": "2 jobs",
    }
    with pytest.raises(WorkloadError, match="names where the format has numbers"):
        read_swf(CASES / "swf-text-fields.swf", strict=True)


def test_users_with_names_and_with_numbers_are_different_users() -> None:
    line = "{} 0 -1 5 1 -1 -1 1 60 -1 1 {} 1 -1 1 1 -1 -1\n"
    workload = swf("".join(line.format(*job) for job in ((1, "eve"), (2, 1), (3, "bob"), (4, -1))))
    assert workload.table.column("user").to_pylist() == [2, 1, 3, 0]
    assert workload.notes["names of users"] == "eve is 2, bob is 3"


def test_jobs_withdrawn_while_they_waited_are_left_out_and_counted() -> None:
    workload = read_swf(CASES / "swf-cancelled-waiting.swf", strict=True)
    assert workload.hash == read_swf(CASES / "swf-cancelled-waiting-expected.swf").hash
    assert workload.notes == {WITHDRAWN: "1 job"}


def test_jobs_withdrawn_with_an_unknown_run_time_are_too_and_killed_ones_stay() -> None:
    line = "{} 0 -1 {} 1 -1 -1 1 60 -1 5 1 1 -1 1 1 -1 -1\n"
    workload = swf(line.format(1, -1) + line.format(2, 7) + line.format(3, 0), strict=False)
    assert workload.table.column("job_id").to_pylist() == [2]
    assert workload.notes[WITHDRAWN] == "2 jobs"


def test_partial_executions_are_no_jobs() -> None:
    workload = read_swf(CASES / "swf-partial-executions.swf", strict=True)
    assert workload.hash == read_swf(CASES / "swf-partial-executions-expected.swf").hash
    assert workload.notes == {PARTS: "2 jobs"}


def test_partial_executions_without_the_whole_job_make_it() -> None:
    line = "{} {} -1 {} 4 -1 -1 4 10800 -1 {} 1 1 -1 1 -1 -1 -1\n"
    lines = (line.format(7, 0, 60, 2), line.format(7, 100, 40, 4), line.format(8, 50, 5, 1))
    workload = swf("".join(lines), strict=True)
    table = workload.table.to_pydict()
    assert (table["job_id"], table["arrival_s"]) == ([7, 8], [0.0, 50.0])
    assert table["runtime_s"] == [100.0, 5.0]
    assert workload.notes[MERGED] == "2 jobs"


def test_a_log_of_slurm_has_jobs_resources_and_arrays() -> None:
    workload = read_sacct(CASES / "sacct-P.txt", strict=True)
    table = workload.table.to_pydict()
    assert table["width"] == [8, 4, 4]
    assert table["runtime_s"] == [600.0, 3600.0, 1800.0]
    assert table["requested_s"] == [1800.0, 86_400.0, 7200.0]
    assert table["arrival_s"] == [0.0, 60.0, 180.0]
    assert workload.notes[NEVER] == "1 job"
    traits = workload.traits.to_pydict()
    assert traits["memory_per_node_mib"] == [4000.0, 4000.0, 16_384.0]
    assert traits["gpus"] == [None, None, 2]
    assert traits["array"] == [None, 102, None]
    assert traits["user_name"] == ["u1", "u2", "u3"]
    assert traits["partition"] == ["normal", "normal", "gpu"]
    assert traits["recorded_wait_s"] == [5.0, 10.0, 30.0]
    assert traits["recorded_state"] == ["completed", "timeout", "completed"]


def test_a_table_of_other_names_is_read_by_a_map() -> None:
    columns = {"job_id": "job_id", "user": "user", "width": "cores", "gpus": "gpus"}
    columns |= {"arrival": "submit_time", "start": "start_time", "end": "end_time"}
    workload = read_table(CASES / "job-log.csv", columns | {"requested": "limit_s"}, strict=True)
    table = workload.table.to_pydict()
    assert table["width"] == [8, 4]
    assert table["runtime_s"] == [600.0, 3600.0]
    assert table["requested_s"] == [1800.0, 86_400.0]
    assert workload.traits.column("gpus").to_pylist() == [0, 2]
    assert "GPUs of 1 job: not replayed" in workload.sentences


def test_dependencies_are_ignored_with_a_word() -> None:
    workload = read_swf(CASES / "swf-dependency.swf")
    assert workload.notes == {}
    assert "dependency on other jobs of 1 job: not replayed" in workload.sentences
    assert workload.traits.select(["after", "after_kind", "think_s"]).to_pylist() == [
        {"after": None, "after_kind": None, "think_s": None},
        {"after": [1], "after_kind": "afterany", "think_s": 10.0},
    ]


def test_unknown_requested_times_stay_unknown(tmp_path: Path) -> None:
    workload = read_swf(CASES / "swf-no-requested-time.swf")
    assert workload.notes == {NO_REQUEST: "5 jobs; the run time is taken for it"}
    assert "accuracy" not in describe(workload, 8).distributions
    write_swf(workload, tmp_path / "t.swf")
    assert read_swf(tmp_path / "t.swf").guessed_requests == {1, 2, 3, 4, 5}
    with pytest.raises(WorkloadError, match=NO_REQUEST):
        read_swf(CASES / "swf-no-requested-time.swf", strict=True)


def test_a_requested_time_of_zero_is_unknown_and_the_others_count() -> None:
    line = "{} 0 -1 5 1 -1 -1 1 {} -1 1 1 1 -1 1 1 -1 -1\n"
    workload = swf("; MaxProcs: 8\n" + line.format(1, 0) + line.format(2, 50))
    assert workload.guessed_requests == {1}
    assert describe(workload, 8).distributions["accuracy"].max == 0.1


def test_the_size_of_a_machine_is_guessed_with_a_word() -> None:
    workload = swf("1 0 -1 5 6 -1 -1 6 60 -1 1 1 1 -1 1 1 -1 -1\n")
    assert workload.machine_slots == 6
    assert workload.notes[MACHINE].startswith("6 slots")


@pytest.mark.parametrize("scheduler", ["slurm", "flux"])
def test_ideal_policy_has_exact_limits_whatever_the_scheduler(scheduler: str) -> None:
    overrides = ("testbed.policy=easy", f"scheduler={scheduler}", "scheduler.params={}")
    assert starts("swf-ideal-easy.swf", *overrides) == [0.0, 100.0, 2.0]
    conservative = ("testbed.policy=conservative", f"scheduler={scheduler}", "scheduler.params={}")
    assert starts("swf-ideal-easy.swf", *conservative) == [0.0, 100.0, 2.0]


def test_profiles_of_the_newer_batsim_have_run_times() -> None:
    workload = read_batsim(CASES / "batsim5-delay.json", strict=True)
    assert workload.table.column("runtime_s").to_pylist() == [30.0, 30.0]
    assert workload.guessed_requests == {2}
    assert len(read_batsim(CASES / "batsim5-mixed.json", strict=True)) == 3


def test_batsim_kills_at_the_walltime() -> None:
    workload = read_batsim(CASES / "batsim-killed-at-walltime.json", strict=True)
    assert workload.table.column("runtime_s").to_pylist() == [6.0, 5.0]
    assert workload.notes[KILLED] == "1 job"
