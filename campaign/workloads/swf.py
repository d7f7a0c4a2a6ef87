"""Reads traces in the Standard Workload Format, version 2.2, the way real files are written.

Eighteen numbers a line with white space between, -1 for what is unknown, `;` before header lines. What real files
get wrong is repaired and counted in the workload's notes, or refused when the campaign says strict. A line that is no
line of numbers is an error either way.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.errors import WorkloadError
from campaign.jobs import WORKLOAD_SCHEMA, Workload
from campaign.model import WorkloadSettings

FIELDS = 18
# Columns that are read, by their place in a line.
JOB, SUBMIT, RUN, ALLOCATED, REQUESTED_WIDTH, REQUESTED_TIME, USER = 0, 1, 3, 4, 7, 8, 11
SHORTEST_S = 1.0  # traces count in seconds: 0 means less than one
EXCERPT = 120  # characters of a broken line that a message shows


def read_swf(settings: WorkloadSettings, path: str, *, widest: int) -> Workload:
    """The first `settings.jobs` jobs of a trace, times scaled, widths cut to `widest`.

    Requested times are scaled like all others; a scheduler that counts limits in minutes (Slurm) rounds them up, so
    that under strong scaling they no longer tell jobs apart.
    Raises WorkloadError, naming file, line and text, for what can't be read; for a trace without a usable job; and in
    strict mode for one that needs repairs.
    """
    file = Path(path).expanduser()
    numbers, repairs = _parse(file)
    jobs = _repair(numbers, repairs)
    done = {name: count for name, count in repairs.items() if count}
    if settings.strict and done:
        raise WorkloadError(
            f"{file} needs repairs: {', '.join(f'{name} ({count})' for name, count in done.items())}",
            resolution="Set workload.strict=false to have them made and counted.",
        )
    if not jobs["width"].size:
        raise WorkloadError(f"{file}: no job has a submission time, a run time and a width")
    taken = {name: column[: settings.jobs] for name, column in jobs.items()}
    notes = {name: f"{count} jobs" for name, count in done.items()}
    return Workload(file.stem, _table(taken, settings.time_scale, widest, notes), notes)


def _parse(file: Path) -> tuple[NDArray[np.float64], dict[str, int]]:
    """All job lines as rows of numbers, and the number of lines that had more fields than the format has."""
    lines = _lines(file)
    jobs = [(number, line) for number, line in enumerate(lines, start=1) if line.strip() and line.lstrip()[0] != ";"]
    if not jobs:
        raise WorkloadError(f"{file}: no jobs in it", resolution="Give a trace in the Standard Workload Format.")
    widths = np.fromiter((len(line.split()) for _, line in jobs), dtype=np.int64, count=len(jobs))
    if (widths < FIELDS).any():
        raise _broken(file, *jobs[int((widths < FIELDS).argmax())])
    try:
        numbers = np.loadtxt([line for _, line in jobs], usecols=range(FIELDS), comments=None, ndmin=2)
    except ValueError:
        numbers = np.full((1, FIELDS), np.nan)
    if not np.isfinite(numbers).all():
        raise _broken(file, *next(_unreadable(jobs)))
    return numbers, {"extra fields ignored": int((widths > FIELDS).sum())}


def _lines(file: Path) -> list[str]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise WorkloadError(
            f"{file}: {error.strerror}", resolution="Set workload.path to a trace that can be read."
        ) from error
    if b"\0" in content:
        raise WorkloadError(f"{file} is not a text file", resolution="Unpack it first, if it is an archive.")
    return content.decode("utf-8", errors="replace").splitlines()


def _unreadable(jobs: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines among whose fields one is no finite number."""
    for number, line in jobs:
        try:
            if not np.isfinite([float(field) for field in line.split()[:FIELDS]]).all():
                yield number, line
        except ValueError:
            yield number, line


def _broken(file: Path, number: int, line: str) -> WorkloadError:
    text = line.strip()
    shown = text if len(text) <= EXCERPT else text[:EXCERPT] + "..."
    return WorkloadError(
        f"{file}, line {number}: not {FIELDS} numbers: {shown!r}",
        resolution="Mend or remove the line (the Standard Workload Format is 18 numbers a line, -1 for unknown).",
    )


def _repair(numbers: NDArray[np.float64], repairs: dict[str, int]) -> dict[str, NDArray[np.float64]]:
    """Usable jobs by order of arrival; counts in `repairs` what had to be done to get them."""
    width = np.where(numbers[:, REQUESTED_WIDTH] > 0, numbers[:, REQUESTED_WIDTH], numbers[:, ALLOCATED])
    usable = (numbers[:, SUBMIT] >= 0) & (numbers[:, RUN] >= 0) & (width >= 1)
    repairs["unusable jobs dropped"] = int((~usable).sum())
    numbers, width = numbers[usable], width[usable]
    submit, run, requested = numbers[:, SUBMIT], numbers[:, RUN], numbers[:, REQUESTED_TIME]
    repairs["jobs put in order of arrival"] = int((np.diff(submit) < 0).sum())
    repairs["zero run times raised to 1 s"] = int((run == 0).sum())
    repairs["requested times raised to run times"] = int(((requested > 0) & (requested < run)).sum())
    twins = numbers.shape[0] - np.unique(numbers[:, JOB]).size
    repairs["jobs with another's number renumbered"] = twins
    run = np.maximum(run, SHORTEST_S)
    order = np.argsort(submit, kind="stable")
    return {
        "job_id": np.arange(1.0, order.size + 1) if twins else numbers[order, JOB],
        "arrival_s": submit[order],
        "width": width[order],
        "runtime_s": run[order],
        "requested_s": np.maximum(requested, run)[order],
        "user": np.maximum(numbers[:, USER], 0)[order],
    }


def _table(jobs: dict[str, NDArray[np.float64]], scale: float, widest: int, notes: dict[str, str]) -> pa.Table:
    wide = int((jobs["width"] > widest).sum())
    if wide:
        notes["jobs cut to the widest allowed"] = f"{wide} jobs, {widest} slots"
    if scale != 1.0:
        notes["times scaled"] = f"by {scale:g}"
    scaled = {
        "job_id": jobs["job_id"].astype(np.int64),
        "arrival_s": (jobs["arrival_s"] - jobs["arrival_s"][0]) * scale,
        "width": np.minimum(jobs["width"], widest).astype(np.int32),
        "runtime_s": jobs["runtime_s"] * scale,
        "requested_s": jobs["requested_s"] * scale,
        "user": jobs["user"].astype(np.int32),
    }
    return pa.table(scaled).cast(WORKLOAD_SCHEMA)
