"""The common parts of trace formats: compressed files, counted repairs, jobs of raw numbers."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.core.errors import WorkloadError
from campaign.core.jobs import HEADER, Workload
from campaign.workloads.budgets import BUDGET, Budget, open_plain, unpacked
from campaign.workloads.columns import (
    LARGEST_NUMBER,
    LONGEST_S,
    SHORTEST_S,
    WIDEST,
    Columns,
    from_zero,
    repeated,
    strange,
    table_of,
    taken,
)
from campaign.workloads.traits import NONE, OUTSIDE, picked, tied

NO_VALUE = -1
ZERO_RUN_S = 1.0  # traces count in seconds: 0 means less than one
GZIP = b"\x1f\x8b"
STARTED = f"{HEADER}UnixStartTime"
"""Names the note that holds when the first job arrived, in seconds of Unix time."""
NO_REQUEST = "no requested time"
DONE_ABOUT = {NO_REQUEST: "the run time is taken for it"}
"""What is done about a kind of repair whose name doesn't say so."""
MACHINE = "machine size guessed"
ROW = "row"
"""Names the column with the jobs' places in the source."""


@contextmanager
def opened(file: Path, budget: Budget = BUDGET) -> Iterator[BinaryIO]:
    """Yield the bytes of a trace, unpacked if it is a gzip file, whatever its name.

    Raises WorkloadError, here or while it is read, where the file is missing, can't be read, is no
    regular file, a damaged archive, or beyond the budget.
    """
    try:
        with open_plain(file) as raw:
            packed = raw.read(len(GZIP)) == GZIP
            raw.seek(0)
            if not packed:
                yield unpacked(raw, file, budget)
                return
            with gzip.open(raw) as archive:
                yield unpacked(cast(BinaryIO, archive), file, budget, packed=raw)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise WorkloadError(
            f"{file}: a damaged gzip file",
            str(error),
            "Fetch it again, or unpack what is left of it (zcat).",
        ) from error
    except OSError as error:
        raise WorkloadError(
            f"{file}: {error.strerror}", resolution="Set workload.path to a trace that can be read."
        ) from error


def name_of(file: Path) -> str:
    """Return a trace's name: that of its file, without the endings."""
    return Path(file.name.removesuffix(".gz")).stem


def workload_of(
    jobs: Columns,
    repairs: dict[str, int],
    *,
    file: Path,
    strict: bool,
    machine: int | None = None,
    began: int | None = None,
    notes: dict[str, str] | None = None,
    requests_optional: bool = False,
    traits: pa.Table = NONE,
) -> Workload:
    """Return the usable jobs of a trace in the order of arrival, the first at 0.

    What had to be repaired stands in the notes. `jobs` are the trace's numbers under the names of
    WORKLOAD_SCHEMA, all finite, negative where unknown. `repairs` are those made while reading;
    `machine` the slots of the trace's machine where it says so (else its widest job's); `began` the
    Unix time of the trace's time 0; `traits` has a row per job. Where the format has
    `requests_optional`, a job without a requested time is no repair, but is counted in the notes
    too. Raises WorkloadError when no job is usable, and in strict mode when anything had to be
    repaired.
    """
    own = jobs["job_id"]
    jobs = _repaired(jobs | {ROW: np.arange(own.size)}, repairs)
    rows = jobs.pop(ROW)
    guessed = jobs["job_id"][jobs.pop(NO_REQUEST)]
    made = {
        name: count
        for name, count in repairs.items()
        if count and not (requests_optional and name == NO_REQUEST)
    }
    if strict and made:
        raise WorkloadError(
            f"{file} needs repairs: "
            f"{', '.join(f'{name} ({count})' for name, count in made.items())}",
            resolution="Set workload.strict=false to have them made and counted.",
        )
    if not jobs["width"].size:
        raise WorkloadError(
            f"{file}: no job has a submission time, a run time and a width",
            ", ".join(f"{name}: {count}" for name, count in made.items()),
        )
    told = (
        dict(notes or {})
        if began is None
        else {**(notes or {}), STARTED: str(began + int(jobs["arrival_s"][0]))}
    )
    if not np.array_equal(rows, np.arange(own.size)):
        traits = picked(traits, rows)
    if "after" in traits.column_names:
        traits, lost = tied(traits, _new_numbers(own[rows], jobs["job_id"]))
        told |= counted({OUTSIDE: lost})
    widest = int(jobs["width"].max())
    if machine is None:
        told[MACHINE] = f"{widest} slots, as the widest job has, because the trace names no size"
    return Workload(
        name_of(file),
        table_of(from_zero(jobs), where=str(file)),
        told | counted(repairs),
        machine_slots=machine or widest,
        guessed_requests=frozenset(guessed.astype(int).tolist()),
        traits=traits,
    )


def counted(counts: dict[str, int]) -> dict[str, str]:
    """Return a note for each kind of repair, or of lines left out, that `counts` has any of."""
    return {
        name: f"{'1 job' if count == 1 else f'{count} jobs'}"
        + (f"; {DONE_ABOUT[name]}" if name in DONE_ABOUT else "")
        for name, count in counts.items()
        if count
    }


def _repaired(jobs: Columns, repairs: dict[str, int]) -> Columns:
    """Return the usable jobs in the order of arrival, at the trace's own times.

    What had to be done is counted in `repairs`.
    """
    usable = _usable(jobs)
    repairs["unusable jobs dropped"] = int((~usable).sum())
    jobs = taken(jobs, usable)
    jobs[NO_REQUEST] = jobs["requested_s"] <= 0
    if not usable.any():
        return jobs
    repairs[NO_REQUEST] = int(jobs[NO_REQUEST].sum())
    repairs["jobs put in order of arrival"] = int((np.diff(jobs["arrival_s"]) < 0).sum())
    jobs = taken(jobs, np.argsort(jobs["arrival_s"], kind="stable"))
    return jobs | {
        "width": _whole_widths(jobs["width"], repairs),
        **_times(jobs["runtime_s"], jobs["requested_s"], repairs),
        "user": _users(jobs["user"], repairs),
        "job_id": _numbers(jobs["job_id"], repairs),
    }


def _usable(jobs: Columns) -> NDArray[np.bool_]:
    """Return which jobs have an arrival, a run time and a width that a workload can hold."""
    arrival = jobs["arrival_s"]
    runtime = jobs["runtime_s"]
    width = jobs["width"]
    usable = (
        (arrival >= 0) & (runtime >= 0) & (runtime <= LONGEST_S) & (width > 0) & (width <= WIDEST)
    )
    first = arrival[usable].min(initial=np.inf)
    return np.asarray(usable & (arrival <= first + LONGEST_S))


def _whole_widths(width: NDArray[np.float64], repairs: dict[str, int]) -> NDArray[np.float64]:
    repairs["fractional widths rounded up"] = int((width != np.floor(width)).sum())
    return np.ceil(width)


def _times(
    runtime: NDArray[np.float64], requested: NDArray[np.float64], repairs: dict[str, int]
) -> Columns:
    zero = runtime < SHORTEST_S
    runtime = np.where(zero, ZERO_RUN_S, runtime)
    repairs["zero run times raised to 1 s"] = int(zero.sum())
    repairs["requested times raised to run times"] = int(
        ((requested > 0) & (requested < runtime)).sum()
    )
    repairs["requested times cut to 136 years"] = int((requested > LONGEST_S).sum())
    return {"runtime_s": runtime, "requested_s": np.clip(requested, runtime, LONGEST_S)}


def _users(user: NDArray[np.float64], repairs: dict[str, int]) -> NDArray[np.float64]:
    """Return the users' numbers; 0 stands for an unknown one."""
    odd = (user > 0) & strange(user, 0, WIDEST)
    repairs["users that are no number made unknown"] = int(odd.sum())
    return np.where(odd | (user < 0), 0.0, user)


def _new_numbers(own: NDArray[np.float64], given: NDArray[np.float64]) -> dict[int, int]:
    """Return the jobs' numbers by those of the trace, where these tell one job from another."""
    alone = ~(repeated(own) | repeated(own[::-1])[::-1] | strange(own, 0, LARGEST_NUMBER))
    by_own = zip(own[alone].astype(int).tolist(), given[alone].astype(int).tolist(), strict=True)
    return dict(by_own)


def _numbers(number: NDArray[np.float64], repairs: dict[str, int]) -> NDArray[np.float64]:
    """Return the trace's own numbers of jobs, or 1, 2, .. for all if one can't be kept."""
    odd = strange(number, 0, LARGEST_NUMBER)
    twins = repeated(number)
    repairs["jobs without a number renumbered"] = int(odd.sum())
    repairs["jobs with another's number renumbered"] = int((twins & ~odd).sum())
    return np.arange(1.0, number.size + 1) if (odd | twins).any() else number
