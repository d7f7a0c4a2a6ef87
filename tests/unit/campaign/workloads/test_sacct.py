"""Logs of Slurm's as sites have them: every oddity is read, counted, or refused in one sentence."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from campaign.core.errors import ConfigError, WorkloadError
from campaign.core.jobs import HEADER, Workload
from campaign.core.sacct_command import COLUMNS
from campaign.workloads.clock_times import SKIPPED, TIMES_TOLD, UNCLEAR
from campaign.workloads.delimited import NOT_UTF8, WRONG_WIDTH
from campaign.workloads.sacct import NO_NUMBER, STEPS, read_sacct
from campaign.workloads.sacct_records import (
    FRESH,
    NEVER,
    PARTS,
    REUSED,
    RUNS,
    TWICE,
    UNENDED,
    tasks_in,
)
from campaign.workloads.submit_lines import ELSEWHERE, MIXED
from campaign.workloads.traces import NO_REQUEST, STARTED
from campaign.workloads.traits import OUTSIDE

CASES = Path(__file__).parent / "cases"
WAIT = "recorded_wait_s"
SHORT = "JobID|User|Submit|Start|End|Elapsed|Timelimit|AllocCPUS|State"


def line(
    number: str, hour: int = 8, state: str = "COMPLETED", user: str = "eve", **times: str
) -> str:
    """A job of ten minutes that waited for five seconds."""
    told = {
        "submit": f"2026-03-02T{hour:02}:00:00",
        "start": f"2026-03-02T{hour:02}:00:05",
        "end": f"2026-03-02T{hour:02}:10:05",
        "elapsed": "00:10:00",
        "limit": "01:00:00",
        "cpus": "4",
    } | times
    return "|".join([number, user, *told.values(), state])


def log(tmp_path: Path, *lines: str, header: str = SHORT, **options: Any) -> Workload:
    file = tmp_path / "log.txt"
    file.write_text("\n".join([header, *lines, ""]))
    return read_sacct(file, **options)


def column(workload: Workload, name: str) -> list[Any]:
    table = workload.table if name in workload.table.column_names else workload.traits
    return list(table.column(name).to_pylist())


def test_columns_may_stand_in_any_order_and_strange_ones_are_no_matter(tmp_path: Path) -> None:
    header = "State|Nonsense|elapsedRAW|AllocCPUS|Submit|JobID"
    found = log(tmp_path, "FAILED|x|60|2|2026-03-02T08:00:00|7", header=header, strict=False)
    assert column(found, "runtime_s") == [60.0]
    assert column(found, "recorded_state") == ["failed"]
    assert found.notes[NO_REQUEST].startswith("1 job")


def test_steps_are_no_jobs(tmp_path: Path) -> None:
    steps = [line("7.batch"), line("7.extern"), line("7.0")]
    found = log(tmp_path, line("7"), *steps, strict=True)
    assert column(found, "job_id") == [7]
    assert found.notes[STEPS] == "3 lines"


@pytest.mark.parametrize("name", ["sacct-slurm-24.11.txt", "sacct-slurm-24.11.json"])
def test_what_a_real_slurm_wrote_is_read_as_the_jobs_that_it_had(name: str) -> None:
    """Both were written by one slurm-wlm 24.11.5, of the same jobs."""
    found = read_sacct(CASES / name)
    assert column(found, "job_id") == [2, *range(12, 18), 20, 21, 22, 23, 18, 19]
    assert column(found, "width") == [1, 8, 2, 1, 1, 2, 2, *[1] * 6]
    assert column(found, "requested_s") == [600] * 13
    assert column(found, "user_name") == ["ada", *["eve"] * 12]
    assert column(found, "account") == ["one", *["staff"] * 12]
    assert column(found, "qos") == ["plain", "urgent", *["plain"] * 11]
    assert column(found, "partition") == ["main"] * 13
    assert known(found, "gpus") == {13: 2} and known(found, "gpu_type") == {13: "a100"}
    assert known(found, "nodes") == {12: 4, 16: 2}
    assert known(found, "exclusive") == {17: True}
    assert known(found, "after") == {15: [14], 19: [20, 21, 22, 23, 18]}
    assert known(found, "after_kind") == {15: "afterok", 19: "afterok"}
    tasks = (20, 21, 22, 23, 18)
    assert known(found, "array") == dict.fromkeys(tasks, 18)
    assert known(found, "array_limit") == dict.fromkeys(tasks, 2)
    # One had more slots than it asked for, since its node was its own.
    memory = memory_of_nodes(found)
    assert memory.pop(17) and memory.pop(16) == 100 and memory.pop(14) == 6000
    assert memory.pop(12) == memory.pop(13) == 4096 and set(memory.values()) == {2048}
    # The first was requeued: it has waited since it was first submitted.
    assert found.notes[RUNS] == "1 job"
    waited = zip(column(found, "arrival_s"), column(found, WAIT), strict=True)
    begun = [arrival + wait for arrival, wait in waited]
    assert begun == [147, 13, 19, 26, 34, 26, 26, 26, 26, 31, 34, 37, 43]
    assert column(found, "runtime_s") == [21, 5, 6, 5, 3, 4, 4, 6, 4, 4, 5, 3, 2]


def known(workload: Workload, name: str) -> dict[int, Any]:
    """A trait of the jobs that have it, by their numbers."""
    pairs = zip(column(workload, "job_id"), column(workload, name), strict=True)
    return {job: value for job, value in pairs if value is not None}


def memory_of_nodes(workload: Workload) -> dict[int, float]:
    """What each job has of each of its nodes, MiB, whichever way the log says it."""
    found = known(workload, "memory_per_node_mib")
    if "memory_per_slot_mib" in workload.traits.column_names:
        width = known(workload, "width")
        nodes = known(workload, "nodes")
        of_slots = known(workload, "memory_per_slot_mib")
        found |= {job: mib * width[job] / nodes.get(job, 1) for job, mib in of_slots.items()}
    return found


def test_what_never_started_or_had_not_ended_is_left_out(tmp_path: Path) -> None:
    none = {"start": "Unknown", "end": "Unknown", "elapsed": "00:00:00"}
    withdrawn = {"start": "2026-03-02T09:00:00", "end": "2026-03-02T09:00:00"}
    found = log(
        tmp_path,
        line("1"),
        line("2", state="PENDING", **none),
        line("3_[4-9:2,11%2]", state="PENDING", **none),
        line("4", state="CANCELLED by 1001", **withdrawn, elapsed="00:00:00"),
        line("5", state="RUNNING", end="Unknown"),
        line("6", state="CANCELLED by 1001"),
        line("8", state="COMPLETED", elapsed="00:00:00", end="2026-03-02T08:00:05"),
    )
    assert column(found, "job_id") == [1, 6, 8]
    assert found.notes[NEVER] == "6 jobs"
    assert found.notes[UNENDED] == "1 job"
    assert column(found, "recorded_state") == ["completed", "cancelled", "completed"]


@pytest.mark.parametrize(
    ("text", "tasks"), [("3-7%2", 5), ("1", 1), ("0-10:5,20", 4), ("1,5,...", 2), ("", 1)]
)
def test_tasks_of_a_waiting_array_are_counted(text: str, tasks: int) -> None:
    assert tasks_in(text) == tasks


def test_tasks_of_an_array_are_jobs_and_know_how_many_may_run_at_once(tmp_path: Path) -> None:
    none = {"start": "None", "end": "Unknown", "elapsed": "00:00:00"}
    found = log(
        tmp_path,
        line("9"),
        line("3_1"),
        line("3_2", hour=9),
        line("3_[4-6%2]", state="PENDING", **none),
        strict=True,
    )
    assert column(found, "job_id") == [9, 10, 11]
    assert found.notes[FRESH].startswith("from 10 on for 2")
    assert column(found, "array") == [None, 3, 3]
    assert column(found, "array_limit") == [None, 2, 2]


def test_components_of_a_heterogeneous_job_are_one_job(tmp_path: Path) -> None:
    found = log(tmp_path, line("105+0"), line("105+1", cpus="12", elapsed="00:20:00"), line("110"))
    assert column(found, "job_id") == [105, 110]
    assert column(found, "width") == [16, 4]
    assert column(found, "runtime_s") == [1200.0, 600.0]
    assert found.notes[PARTS] == "2 jobs"


def test_a_requeued_job_is_its_last_run_submitted_when_it_first_was(tmp_path: Path) -> None:
    runs = [line("7", 8, "NODE_FAIL"), line("7", 9, "PREEMPTED", cpus="2")]
    found = log(tmp_path, *runs, line("7", 10, elapsed="00:30:00"), line("6", 9), strict=True)
    assert column(found, "job_id") == [7, 6]
    assert column(found, "arrival_s") == [0.0, 3600.0]
    assert column(found, "runtime_s") == [1800.0, 600.0]
    assert found.notes[RUNS] == "2 jobs"


def test_a_requeued_job_that_was_withdrawn_has_the_run_that_it_had(tmp_path: Path) -> None:
    none = {"start": "None", "elapsed": "00:00:00"}
    found = log(tmp_path, line("7", 8, "REQUEUED"), line("7", 9, "CANCELLED by 5", **none))
    assert column(found, "runtime_s") == [600.0]
    assert NEVER not in found.notes
    waiting = log(
        tmp_path,
        line("6"),
        line("7", 8, "REQUEUED"),
        line("7", 9, "PENDING", end="Unknown", **none),
    )
    assert column(waiting, "job_id") == [6]
    assert waiting.notes[NEVER] == "1 job"


def test_a_number_that_began_anew_is_another_job_and_a_line_that_stands_twice_is_none(
    tmp_path: Path,
) -> None:
    found = log(tmp_path, line("7", 8), line("7", 8), line("7", 12), line("8", 13, user="bob"))
    assert column(found, "job_id") == [7, 9, 8]
    assert found.notes[TWICE] == "1 job"
    assert found.notes[REUSED] == "1 job"
    with pytest.raises(WorkloadError, match=TWICE):
        log(tmp_path, line("7", 8), line("7", 8), strict=True)


def test_of_two_dumps_the_one_that_knows_the_end_counts(tmp_path: Path) -> None:
    running = line("7", 8, "RUNNING", end="Unknown", elapsed="00:05:00")
    for lines in ([running, line("7", 8)], [line("7", 8), running]):
        found = log(tmp_path, *lines)
        assert column(found, "runtime_s") == [600.0]
        assert UNENDED not in found.notes


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [("1-00:00:00", 86_400.0), ("90:00", 5400.0), ("UNLIMITED", 600.0), ("Partition_Limit", 600.0)],
)
def test_limits_are_read_or_unknown(tmp_path: Path, limit: str, seconds: float) -> None:
    found = log(tmp_path, line("1", limit=limit))
    assert column(found, "requested_s") == [seconds]
    assert (NO_REQUEST in found.notes) == (seconds == 600.0)


@pytest.mark.parametrize(
    ("asked", "held", "slot", "node"),
    [
        ("4000Mc", "", 4000.0, None),
        ("16Gn", "", None, 16_384.0),
        ("4000M", "cpu=8,mem=8000M,node=2", None, 4000.0),
        ("4000M", "", None, 2000.0),
        ("0n", "", None, None),
        ("", "billing=8,mem=1.50G", None, 768.0),
    ],
)
def test_memory_is_per_slot_or_per_node(
    tmp_path: Path, asked: str, held: str, slot: float | None, node: float | None
) -> None:
    more = f"{SHORT}|ReqMem|AllocTRES|AllocNodes"
    found = log(tmp_path, f"{line('1')}|{asked}|{held}|2", header=more)
    traits = found.traits.to_pydict()
    assert traits.get("memory_per_slot_mib", [None]) == [slot]
    assert traits.get("memory_per_node_mib", [None]) == [node]


@pytest.mark.parametrize(
    ("held", "gpus", "kind"),
    [
        ("cpu=8,gres/gpu=2", 2, None),
        ("cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=1G", 2, "a100"),
        ("gres/gpu:a100=1,gres/gpu:v100=1", 2, None),
        ("cpu=8", None, None),
    ],
)
def test_gpus_are_those_that_a_job_got(
    tmp_path: Path, held: str, gpus: int | None, kind: str | None
) -> None:
    found = log(tmp_path, f"{line('1')}|{held}", header=f"{SHORT}|AllocTRES")
    traits = found.traits.to_pydict()
    assert (traits.get("gpus", [None]), traits.get("gpu_type", [None])) == ([gpus], [kind])


def test_dependencies_are_those_of_the_command(tmp_path: Path) -> None:
    commands = {
        "1": "sbatch a.sh -d x",
        "2_1": "sbatch --array=1-2%1 b.sh",
        "2_2": "sbatch --array=1-2%1 b.sh",
        "3": "sbatch --dependency=afterok:1:2,afterany:99 c.sh",
        "4_2": "sbatch -d aftercorr:2 d.sh",
        "5": "sbatch --dependency afterany:2_1 --exclusive e.sh",
        "6": "sbatch -d afterok:1?afterok:3 f.sh",
        "7": "sbatch --dependency=singleton",
    }
    lines = [
        f"{line(number, 8 + place)}|{text}" for place, (number, text) in enumerate(commands.items())
    ]
    found = log(tmp_path, *lines, header=f"{SHORT}|SubmitLine")
    task1, task2 = column(found, "job_id")[1:3]
    after = column(found, "after")
    assert after == [None, None, None, [1, task1, task2], [task2], [task1], None, None]
    assert column(found, "after_kind")[3:6] == ["afterok", "aftercorr", "afterany"]
    assert column(found, "exclusive") == [None] * 5 + [True, None, None]
    assert column(found, "array_limit")[1:3] == [1, 1]
    assert found.notes[ELSEWHERE] == "2 jobs"
    assert found.notes[MIXED] == "1 job"
    assert found.notes[OUTSIDE] == "1 job"


def test_times_are_by_the_clock_of_the_zone(tmp_path: Path) -> None:
    assert log(tmp_path, line("1"), time_zone="Europe/Berlin").notes[STARTED] == "1772434800"
    told = log(tmp_path, line("1"))
    assert told.notes[STARTED] == "1772438400"
    assert "UTC" in told.notes[TIMES_TOLD]
    zoned = {"submit": "2026-03-02T08:00:00+01:00", "start": "1772434805", "end": "1772435405"}
    told = log(tmp_path, line("1", **zoned))
    assert told.notes[STARTED] == "1772434800"
    assert TIMES_TOLD not in told.notes
    with pytest.raises(ConfigError, match="Mars"):
        log(tmp_path, line("1"), time_zone="Mars/Olympus")


def in_autumn(number: str, submit: str, start: str, end: str, elapsed: str) -> str:
    times = {"submit": submit, "start": start, "end": end}
    dates = {name: f"2026-10-25T{text}:00" for name, text in times.items()}
    return line(number, **dates, elapsed=elapsed)


def test_the_hour_that_the_clock_repeats_is_told_by_run_time_and_order(tmp_path: Path) -> None:
    found = log(
        tmp_path,
        in_autumn("1", "01:50", "02:30", "02:20", "00:50:00"),  # across the turn
        in_autumn("2", "02:50", "03:30", "04:20", "00:50:00"),  # before job 3, later by the clock
        in_autumn("3", "02:10", "03:30", "04:20", "00:50:00"),
        time_zone="Europe/Berlin",
        strict=True,
    )
    assert column(found, "arrival_s") == [0.0, 3600.0, 4800.0]
    assert column(found, "recorded_wait_s") == [2400.0, 6000.0, 4800.0]


def test_what_nothing_tells_of_that_hour_is_counted(tmp_path: Path) -> None:
    found = log(
        tmp_path,
        in_autumn("2", "02:10", "03:30", "04:20", "00:50:00"),
        time_zone="Europe/Berlin",
    )
    assert found.notes[UNCLEAR] == "1 job"
    spring = line("1", submit="2026-03-29T02:30:00", start="2026-03-29T03:40:00")
    assert log(tmp_path, spring, time_zone="Europe/Berlin").notes[SKIPPED] == "1 job"


def test_lines_and_values_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    lines = [line("1"), line("2") + "|too|many", "3|eve", line("x"), line("4", limit="soon")]
    found = log(tmp_path, *lines)
    assert column(found, "job_id") == [1, 4]
    assert found.notes[WRONG_WIDTH] == "2 jobs"
    assert found.notes[NO_NUMBER] == "1 job"
    assert found.notes["values of Timelimit that can't be read taken for unknown"] == "1 job"
    for bad in lines[1:]:
        with pytest.raises(WorkloadError, match="needs repairs"):
            log(tmp_path, line("9"), bad, strict=True)


def test_files_are_read_as_people_have_them(tmp_path: Path) -> None:
    file = tmp_path / "log.txt.gz"
    job = line("1", user="j\u00fcrgen")
    text = f"\ufeff{SHORT}|\r\n{job}|\r\n".encode()
    file.write_bytes(gzip.compress(text))
    assert column(read_sacct(file, strict=True), "user_name") == ["j\u00fcrgen"]
    file.write_bytes(text.replace("\u00fc".encode(), b"\xfc"))
    found = read_sacct(file)
    assert column(found, "user_name") == ["j\ufffdrgen"]
    assert found.notes[NOT_UTF8] == "1 job"
    file.write_text(f"{SHORT}|User\n{line('1', user=chr(34))}|other\n")
    assert column(read_sacct(file), "user_name") == ['"']


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\r\n", "empty"),
        (SHORT.encode(), "no jobs in it"),
        (line("1").encode() + b"\n" + line("2").encode(), "no column jobid"),
        (b"JobID|User\n1|eve", "no column submit"),
        (SHORT.encode() + b"\n1\0|", "not a text file"),
        (SHORT.encode("utf-16"), "not a text file"),
        (SHORT.encode() + b"\n1|2\n", "1 lines have another number of columns"),
        (b"{", "isn't JSON"),
        (b'{"jobs": 3}', 'no list "jobs"'),
        (b'{"jobs": [4]}', "no jobs in it"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_what_is_no_log_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes, words: str
) -> None:
    file = tmp_path / "log.txt"
    file.write_bytes(content)
    with pytest.raises(WorkloadError, match=words):
        read_sacct(file)


def number(value: int) -> dict[str, object]:
    return {"set": True, "infinite": False, "number": value}


UNSET = {"set": False, "infinite": False, "number": 0}


def job(wrapped: bool) -> dict[str, Any]:
    """A job as Slurm 23.02 and later write it, or as earlier ones did."""
    wrap = number if wrapped else int
    return {
        "job_id": 103,
        "array": {"job_id": 102, "task_id": wrap(1), "task": "", "limits": {}},
        "het": {"job_id": 0, "job_offset": UNSET if wrapped else None},
        "user": "eve",
        "group": "users",
        "account": "physics",
        "partition": "gpu",
        "qos": "normal",
        "constraints": "a100&ib",
        "reservation": {"id": 5, "name": "course"},
        "submit_line": "sbatch -d afterok:101 x.sh",
        "allocation_nodes": 2,
        "required": {"CPUs": 8, "memory_per_cpu": UNSET, "memory_per_node": wrap(4000)},
        "state": {"current": ["TIMEOUT"] if wrapped else "TIMEOUT", "reason": "None"},
        "time": {
            "submission": 1772438400,
            "start": 1772438405,
            "end": 1772439005,
            "elapsed": 600,
            "limit": wrap(30),
        },
        "tres": {
            "allocated": [
                {"type": "cpu", "name": "", "id": 1, "count": 8},
                {"type": "node", "name": "", "id": 4, "count": 2},
                {"type": "gres", "name": "gpu:a100", "id": 1001, "count": 2},
            ],
            "requested": [{"type": "node", "name": "", "id": 4, "count": 2}],
        },
        "steps": [{"step": {"name": "batch"}}],
    }


@pytest.mark.parametrize("wrapped", [True, False])
def test_json_of_several_versions_says_the_same(tmp_path: Path, wrapped: bool) -> None:
    file = tmp_path / "log.json"
    before = job(wrapped) | {"job_id": 101, "array": {"job_id": 0}, "submit_line": ""}
    waiting = job(wrapped) | {"job_id": 104, "array": {"job_id": 104, "task": "1-3"}}
    waiting["state"] = {"current": ["PENDING"]}
    waiting["time"] = {"submission": 1772438400, "start": 0, "end": 0, "elapsed": 0}
    file.write_text(json.dumps({"meta": {}, "jobs": [before, job(wrapped), waiting]}))
    found = read_sacct(file, strict=True)
    assert column(found, "job_id") == [101, 103]
    assert column(found, "width") == [8, 8]
    assert column(found, "requested_s") == [1800.0, 1800.0]
    assert found.notes[NEVER] == "3 jobs"
    assert found.traits.to_pylist()[1] == {
        "nodes": 2,
        "memory_per_node_mib": 4000.0,
        "gpus": 2,
        "gpu_type": "a100",
        "features": "a100&ib",
        "user_name": "eve",
        "group": "users",
        "account": "physics",
        "partition": "gpu",
        "qos": "normal",
        "reservation": "course",
        "array": 102,
        "after": [101],
        "after_kind": "afterok",
        "recorded_wait_s": 5.0,
        "recorded_state": "timeout",
    }


def test_the_command_that_is_printed_asks_for_all_that_is_read(tmp_path: Path) -> None:
    told = dict.fromkeys(COLUMNS.split(","), "")
    told |= {"JobID": "1", "Submit": "2026-03-02T08:00:00", "Start": "2026-03-02T08:00:05"}
    told |= {"End": "2026-03-02T08:10:05", "ElapsedRaw": "600", "TimelimitRaw": "60"}
    told |= {"AllocCPUS": "4", "State": "COMPLETED", "QOS": "high"}
    found = log(tmp_path, "|".join(told.values()), header="|".join(told), strict=True)
    assert column(found, "requested_s") == [3600.0]
    assert column(found, "qos") == ["high"]
    assert not any(name.startswith(HEADER) and name != STARTED for name in found.notes)
