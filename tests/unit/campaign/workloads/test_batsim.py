"""Workloads of Batsim: what is read, what is dropped, and what is wrong where."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from campaign.core.errors import WorkloadError
from campaign.core.jobs import Job, Workload
from campaign.schema.workload import WorkloadSettings
from campaign.workloads import load
from campaign.workloads.batsim import KILLED, parse_batsim
from campaign.workloads.traces import NO_REQUEST

PROFILES = {
    "short": {"type": "delay", "delay": 10},
    "long": {"type": "delay", "delay": 100.5},
    "compute": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0},
    "both": {"type": "composed", "seq": ["short", "long"]},
}


def job(
    number: Any = 1, subtime: Any = 0, res: Any = 2, profile: Any = "short", **more: Any
) -> dict[str, Any]:
    return {"id": number, "subtime": subtime, "res": res, "profile": profile, **more}


def parsed(*jobs: Any, strict: bool = False, **more: Any) -> Workload:
    whole = {"nb_res": 16, "jobs": list(jobs), "profiles": PROFILES} | more
    return parse_batsim(json.dumps(whole).encode(), file=Path("w.json"), strict=strict)


def test_jobs_are_read_with_the_run_times_of_their_profiles() -> None:
    workload = parsed(
        job(3, 50.5, 4, "long", walltime=200), job(9, 60, walltime=-1), job(11, 70), strict=True
    )
    assert list(workload.jobs()) == [
        Job(3, 0.0, 4, 100.5, 200.0, 0),
        Job(9, 9.5, 2, 10.0, 10.0, 0),
        Job(11, 19.5, 2, 10.0, 10.0, 0),
    ]
    assert (workload.name, workload.machine_slots) == ("w", 16)
    assert workload.notes == {NO_REQUEST: "2 jobs; the run time is taken for it"}
    assert workload.guessed_requests == {9, 11}


def test_machine_is_the_widest_job_where_the_file_does_not_say() -> None:
    content = json.dumps({"jobs": [job(res=7)], "profiles": PROFILES}).encode()
    assert parse_batsim(content, file=Path("w.json")).machine_slots == 7


def test_ids_that_are_text_are_numbered_by_arrival_and_that_is_no_repair() -> None:
    workload = parsed(job("w0!12", 10, 1), job("a!3", 20, 2), job(5, 30, 3), strict=True)
    assert [(each.job_id, each.width) for each in workload.jobs()] == [(1, 1), (2, 2), (3, 3)]
    assert workload.notes == {
        "job numbers": "1, 2, .. in order of arrival: the trace's are text",
        NO_REQUEST: "3 jobs; the run time is taken for it",
    }
    unsorted = parsed(job("w0!12", 30, 1), job("a!3", 10, 2), job(5, 20, 3))
    assert [(each.job_id, each.width) for each in unsorted.jobs()] == [(1, 2), (2, 3), (3, 1)]


@pytest.mark.parametrize(
    ("jobs", "note"),
    [
        ((job(), job(2, profile="compute")), "jobs dropped because their profile is no delay"),
        ((job(), job(2, profile="both")), "jobs dropped because their profile is no delay"),
        ((job(1), job(1)), "jobs with another's number renumbered"),
        ((job(-5),), "jobs without a number renumbered"),
        ((job(10**300),), "jobs without a number renumbered"),
        ((job("a"), job("a")), "jobs with another's id"),
        ((job(1, 5), job(2, 3)), "jobs put in order of arrival"),
        ((job(), job(2, res=0)), "unusable jobs dropped"),
        ((job(), job(2, -1)), "unusable jobs dropped"),
        ((job(res=1.5),), "fractional widths rounded up"),
    ],
)
def test_repairs_are_counted_and_refused_when_strict(jobs: tuple[Any, ...], note: str) -> None:
    notes = parsed(*jobs).notes
    counted = {name: notes[name] for name in notes if name not in ("job numbers", NO_REQUEST)}
    assert counted == {note: "1 job"}
    with pytest.raises(WorkloadError, match=note):
        parsed(*jobs, strict=True)


def test_job_is_killed_at_its_walltime_and_that_is_counted_and_no_repair() -> None:
    killed, whole = parsed(job(1, walltime=3), job(2, walltime=30), strict=True).jobs()
    assert (killed.runtime_s, killed.requested_s) == (3.0, 3.0)
    assert (whole.runtime_s, whole.requested_s) == (10.0, 30.0)
    assert parsed(job(1, walltime=3), job(2, walltime=30)).notes == {KILLED: "1 job"}


def test_without_a_delay_there_is_no_usable_job_and_the_reason_is_told() -> None:
    with pytest.raises(WorkloadError, match="no job has") as caught:
        parsed(job(profile="compute"), job(2, profile="both"))
    assert caught.value.details == "jobs dropped because their profile is no delay: 2"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (7, "job 2 must be an object, not 7"),
        ({}, "job 2: no 'id' in it"),
        (job(True), "job 2, id must be a whole number or text, not True"),
        (job(1.5), "job 2, id must be"),
        (job(None), "job 2, id must be"),
        (job([[]]), "job 2, id must be a whole number or text, not a list of 1"),
        (job("w!1", "0"), r"job 2 \(id 'w!1'\), subtime must be a finite number, not '0'"),
        (job(1, True), "subtime must be a finite number, not True"),
        (job(1, float("nan")), "subtime must be a finite number, not nan"),
        (job(1, 0, float("inf")), "res must be a finite number, not inf"),
        (job(1, 0, 10**400), "res must be a finite number, not 1000"),
        (job(1, 0, None), "res must be a finite number, not None"),
        (job(walltime="long"), "walltime must be a finite number, not 'long'"),
        (job(profile="gone"), "profile must be the name of one of the profiles, not 'gone'"),
        (
            job(profile=["short"]),
            "profile must be the name of one of the profiles, not a list of 1",
        ),
        ({"id": 4, "subtime": 0, "profile": "short"}, r"job 2 \(id 4\): no 'res' in it"),
        (job("x" * 999, "no"), r"id 'x{59}\.\.\.\), subtime"),
    ],
)
def test_what_is_wrong_is_named_with_file_job_and_field(wrong: Any, says: str) -> None:
    with pytest.raises(WorkloadError, match=rf"^w\.json, .*{says}"):
        parsed(job(99), wrong)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"jobs": {}}, "jobs must be a list of jobs"),
        ({"jobs": []}, "no jobs in it"),
        ({"profiles": []}, "profiles must be an object"),
        ({"profiles": {"short": 3}}, "profile 'short' must be an object, not 3"),
        ({"profiles": {"short": {}}}, "profile 'short': no 'type'"),
        ({"profiles": {"short": {"type": "delay"}}}, "profile 'short': no 'delay'"),
        (
            {"profiles": {"short": {"type": "delay", "delay": "1"}}},
            "profile 'short', delay must be a finite number",
        ),
        ({"nb_res": 0}, "nb_res must be a whole number"),
        ({"nb_res": 2.5}, "nb_res must be a whole number"),
        ({"nb_res": "16"}, "nb_res must be a finite number"),
    ],
)
def test_what_is_wrong_beside_the_jobs_is_named(more: dict[str, Any], says: str) -> None:
    with pytest.raises(WorkloadError, match=rf"^w\.json.*{says}"):
        parsed(job(), **more)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "isn't JSON"),
        (b'{"jobs": [', "isn't JSON"),
        (b"\xff\xfe\x00", "isn't JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"nb_res": ' + b"9" * 10_000 + b"}", "isn't JSON"),
        (b"[]", "must be an object"),
        (b"null", "must be an object"),
        (b'{"jobs": []}', "no 'profiles' in it"),
        (b"{}", "no 'jobs' in it"),
    ],
)
def test_what_is_no_workload_says_why(content: bytes, says: str) -> None:
    with pytest.raises(WorkloadError, match=rf"^w\.json.*{says}"):
        parse_batsim(content, file=Path("w.json"))


def test_campaigns_load_it_plain_or_packed_and_cut(tmp_path: Path) -> None:
    content = json.dumps(
        {"nb_res": 16, "jobs": [job(1), job(2, 5, 9), job(3, 9)], "profiles": PROFILES}
    ).encode()
    (tmp_path / "w.json").write_bytes(b"\xef\xbb\xbf" + content)
    (tmp_path / "w.json.gz").write_bytes(gzip.compress(content))
    plain, packed = (
        load(WorkloadSettings(kind="batsim", path=str(tmp_path / name), jobs=2), slots=4)
        for name in ("w.json", "w.json.gz")
    )
    assert [each.width for each in plain.jobs()] == [2, 4]
    assert plain.hash == packed.hash
    assert plain.name == packed.name == "w"
