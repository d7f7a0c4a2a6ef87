"""Reads workloads of the simulator Batsim: JSON with a machine size, jobs and profiles.

Only a profile of type `delay` (`DelayProfile` since Batsim 5) has a run time by itself. The run
times of the others depend on a simulated platform, so their jobs are dropped and counted, or
refused when the campaign is strict. A job is killed at its walltime, as the format defines it.
Format: Batsim's documentation, "Workload".
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from campaign.core.errors import WorkloadError
from campaign.core.jobs import Workload
from campaign.workloads.budgets import BUDGET, Budget, check_json
from campaign.workloads.columns import LARGEST_NUMBER, WIDEST, Columns
from campaign.workloads.traces import NO_VALUE, counted, opened, workload_of

DELAY = "delay"
DELAY_TYPES = (DELAY, "DelayProfile")  # before and since Batsim 5
KILLED = "jobs that end at their walltime, which is below their delay"
EXCERPT = 60  # characters of a wrong value that a message shows
FORMAT = (
    'Format: {"nb_res": SLOTS, "jobs": [{"id", "subtime", "res", "profile", "walltime"}, ..], '
    '"profiles": {NAME: {"type": "delay", "delay": SECONDS}, ..}}.'
)
Json = Mapping[str, Any]


def read_batsim(file: Path, *, strict: bool = False, budget: Budget = BUDGET) -> Workload:
    """Return the usable jobs of a Batsim workload (plain or gzip) in the order of arrival.

    The first arrives at 0; times are seconds. `machine_slots` is `nb_res`, or the widest job where
    that is missing. Jobs keep their numbers where all have a whole number of their own, and are
    numbered from 1 in order of arrival otherwise. Users aren't known (0); a job without a
    `walltime` requests its run time, and one with a shorter `walltime` than its delay runs as long
    as that. Repairs, dropped and killed jobs are counted in the notes. Raises WorkloadError, naming
    file, job and field, for what isn't of the format; for what is beyond the budget; when no job is
    usable; and in strict mode when anything had to be repaired or dropped.
    """
    # Of a larger file no more is unpacked than shows that it is too large.
    sized = replace(budget, size=min(budget.size, budget.json_size))
    with opened(file, sized) as stream:
        return parse_batsim(stream.read(), file=file, strict=strict, budget=budget)


def parse_batsim(
    content: bytes, *, file: Path, strict: bool = False, budget: Budget = BUDGET
) -> Workload:
    """Do as `read_batsim` does, from bytes; messages and the workload are named by `file`."""
    check_json(content, file, budget)
    try:
        whole = _object(_loaded(content))
        jobs = _field(whole, "jobs")
        profiles = _object(_field(whole, "profiles"), ", profiles")
        machine = _slots(whole)
        if not isinstance(jobs, list):
            raise _wrong(", jobs", jobs, "a list of jobs")
        times = _run_times(profiles)
        every = [_job(job, place, times) for place, job in enumerate(jobs, start=1)]
    except _Fault as fault:
        raise WorkloadError(f"{file}{fault}", resolution=FORMAT) from None
    if not jobs:
        raise WorkloadError(
            f"{file}: no jobs in it", resolution="Give a workload of Batsim with jobs."
        )
    found = [job for job in every if job is not None]
    repairs = {"jobs dropped because their profile is no delay": len(every) - len(found)}
    notes = counted({KILLED: sum(job.killed for job in found)})
    if any(isinstance(job.id, str) for job in found):
        repairs["jobs with another's id"] = len(found) - len({job.id for job in found})
        notes["job numbers"] = "1, 2, .. in order of arrival: the trace's are text"
    return workload_of(
        _columns(found),
        repairs,
        file=file,
        strict=strict,
        machine=machine,
        notes=notes,
        requests_optional=True,
    )


class _Fault(Exception):
    """A fault in the format, in words that go on from the file's name."""


class _Job(NamedTuple):
    """A job by its object and its profile; times in seconds."""

    id: int | str
    submit: float
    width: float
    runtime: float
    requested: float
    killed: bool


def _loaded(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise _Fault(" isn't JSON: it is nested too deeply") from None
    except ValueError as error:
        raise _Fault(f" isn't JSON: {error}") from None


def _slots(whole: Json) -> int | None:
    if "nb_res" not in whole:
        return None
    slots = _number(whole["nb_res"], "nb_res")
    if not 1 <= slots <= WIDEST or slots != int(slots):
        raise _wrong(", nb_res", whole["nb_res"], f"a whole number from 1 to {WIDEST}")
    return int(slots)


def _run_times(profiles: Json) -> dict[str, float | None]:
    """Return the run time (s) of each profile, None if it has none by itself."""
    times: dict[str, float | None] = {}
    for name, profile in profiles.items():
        try:
            kind = _field(_object(profile), "type")
            times[name] = _number(_field(profile, DELAY), DELAY) if kind in DELAY_TYPES else None
        except _Fault as fault:
            raise _Fault(f", profile {_excerpt(name)}{fault}") from None
    return times


def _job(job: Any, place: int, times: Mapping[str, float | None]) -> _Job | None:
    """Return the job at `place` in the list, None if its profile has no run time."""
    named: int | str | None = None
    try:
        number = _field(_object(job), "id")
        if isinstance(number, bool) or not isinstance(number, int | str):
            raise _wrong(", id", number, "a whole number or text")
        named = number
        submit = _number(_field(job, "subtime"), "subtime")
        width = _number(_field(job, "res"), "res")
        requested = _number(job.get("walltime", NO_VALUE), "walltime")
        profile = _field(job, "profile")
        if not isinstance(profile, str) or profile not in times:
            raise _wrong(", profile", profile, "the name of one of the profiles")
    except _Fault as fault:
        who = f" (id {_excerpt(named)})" if named is not None else ""
        raise _Fault(f", job {place}{who}{fault}") from None
    runtime = times[profile]
    if runtime is None:
        return None
    killed = 0 < requested < runtime
    return _Job(number, submit, width, requested if killed else runtime, requested, killed)


def _columns(found: list[_Job]) -> Columns:
    """Return the jobs as columns; numbered by arrival if any of their ids is text."""
    submit, width, runtime, requested = (
        np.array([job[1:5] for job in found], dtype=np.float64).reshape(-1, 4).T
    )
    numbers = [
        job.id if 0 <= job.id <= LARGEST_NUMBER else NO_VALUE
        for job in found
        if isinstance(job.id, int)
    ]
    number = np.array(numbers, dtype=np.float64)
    if number.size < submit.size:
        number = np.empty(submit.size)
        number[np.argsort(submit, kind="stable")] = np.arange(1, submit.size + 1)
    return {
        "job_id": number,
        "arrival_s": submit,
        "width": width,
        "runtime_s": runtime,
        "requested_s": requested,
        "user": np.full(submit.size, float(NO_VALUE)),
    }


def _object(value: Any, where: str = "") -> Json:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    return value


def _field(value: Json, name: str) -> Any:
    if name not in value:
        raise _Fault(f": no {name!r} in it")
    return value[name]


def _number(value: Any, name: str) -> float:
    if not isinstance(value, bool) and isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise _wrong(f", {name}", value, "a finite number")


def _wrong(where: str, value: Any, allowed: str) -> _Fault:
    return _Fault(f"{where} must be {allowed}, not {_excerpt(value)}")


def _excerpt(value: Any) -> str:
    """Return a value as a message shows it."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "..."
