"""The steps by which a workload is changed before it is replayed.

Jobs are chosen, widths fitted, times scaled, the load set. Each step is pure and over whole
columns. What a step changed stands in the workload's notes, with the beginning of the hash of the
jobs after it: so it can be told where two workloads part.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.core.errors import WorkloadError
from campaign.core.jobs import Workload, tau_of
from campaign.schema.workload import WorkloadSettings
from campaign.workloads.columns import SHORTEST_S, Columns, columns_of, from_zero, table_of, taken
from campaign.workloads.traces import ROW, STARTED, counted
from campaign.workloads.traits import OUTSIDE, picked, scaled, tied

HASH_DIGITS = 12
TIMES_SCALED = "times scaled"
LOAD_SET = "offered load set"
NAMED = 10  # users that a note names one by one
ALWAYS_WHOLE = "esp"
"""The kind whose jobs are a fixed set, which workload.jobs doesn't shorten."""


class StepResult(NamedTuple):
    """The jobs after a step, and its effect in words; no words if it changed nothing."""

    jobs: Columns
    words: str


class TransformStep(NamedTuple):
    """A step: the setting that asks for it, the name of its note, and what it does."""

    setting: str
    note: str
    apply: Callable[[Columns], StepResult]


def transform(workload: Workload, settings: WorkloadSettings, *, slots: int) -> Workload:
    """Return the jobs that trials replay, made from those of a source.

    `slots` are those of the smallest cluster. In this order: jobs are chosen by width, run time and
    user, then by arrival (the window counts from the source's first arrival, whether or not that
    job was chosen), then the first `settings.jobs` of them are taken if that is set; widths are
    fitted to the cluster; times are scaled; arrivals are stretched until the offered load is the
    one that is wanted. Raises WorkloadError, naming the setting, when no job is left or when times
    get too long.
    """
    jobs = columns_of(workload.table)
    jobs[ROW] = np.arange(len(workload))
    notes = dict(workload.notes)
    for step in _steps(settings, workload, slots):
        before = jobs
        jobs, words = step.apply(before)
        if not jobs["width"].size:
            raise WorkloadError(
                f"workload.{step.setting}: no job is left ({step.note}: {words})",
                resolution=f"Change workload.{step.setting}, or give a workload with such jobs.",
            )
        if words:
            notes[step.note] = f"{words} [jobs {_hash(jobs, step.setting)}]"
    if STARTED in notes:
        notes[STARTED] = str(int(notes[STARTED]) + _skipped(workload, jobs))
    table = table_of(from_zero(jobs), where=workload.name)
    traits, lost = _traits_left(workload, jobs, settings.time_scale)
    return replace(workload, table=table, notes=notes | counted({OUTSIDE: lost}), traits=traits)


def offered_load(table: pa.Table, slots: int) -> float | None:
    """Return the work that arrives per time, as a fraction of what `slots` can do.

    None when all jobs arrive at once. It is sum(width x run time) / (slots x (last arrival - first
    arrival)), the load of Feitelson 2001, "Metrics for Parallel Job Scheduling and Their
    Convergence", with arrivals for the time that passes.
    """
    return _load(columns_of(table), slots)


def _steps(settings: WorkloadSettings, workload: Workload, slots: int) -> Iterator[TransformStep]:
    yield from _choices(settings)
    widest = min(slots, settings.max_width or slots)
    if settings.wide == "scale":
        machine = settings.machine or workload.machine_slots
        yield TransformStep(
            "wide", "widths scaled", lambda jobs: _scale_widths(jobs, machine, slots)
        )
    if settings.wide == "drop":
        allowed = f"wider than {widest} slots"
        yield _choice(
            "wide",
            "jobs wider than allowed left out",
            allowed,
            lambda jobs: jobs["width"] <= widest,
        )
    else:
        yield TransformStep(
            "max_width", "jobs cut to the widest allowed", lambda jobs: _cut(jobs, widest)
        )
    if settings.time_scale != 1.0:
        yield TransformStep(
            "time_scale", TIMES_SCALED, lambda jobs: _scale_times(jobs, settings.time_scale)
        )
    if settings.load is not None:
        load = settings.load
        yield TransformStep("load", LOAD_SET, lambda jobs: _set_load(jobs, load, slots))


def _choices(settings: WorkloadSettings) -> Iterator[TransformStep]:
    """Yield the steps that only leave jobs out."""
    if (narrowest := settings.min_width) is not None:
        words = f"below {narrowest} slots"
        yield _choice(
            "min_width", "narrow jobs left out", words, lambda jobs: jobs["width"] >= narrowest
        )
    if (shortest := settings.min_runtime_s) is not None:
        words = f"below {shortest:g} s"
        yield _choice(
            "min_runtime_s",
            "short jobs left out",
            words,
            lambda jobs: jobs["runtime_s"] >= shortest,
        )
    if (longest := settings.max_runtime_s) is not None:
        words = f"beyond {longest:g} s"
        yield _choice(
            "max_runtime_s", "long jobs left out", words, lambda jobs: jobs["runtime_s"] <= longest
        )
    if (users := settings.users) is not None:
        named = ", ".join(map(str, users[:NAMED])) + (
            f" and {len(users) - NAMED} more" if len(users) > NAMED else ""
        )
        words = f"of others than {named}"
        yield _choice(
            "users", "other users' jobs left out", words, lambda jobs: np.isin(jobs["user"], users)
        )
    if (window := settings.window_s) is not None:
        begin, end = window
        words = f"outside {begin:g} s to {end:g} s"
        yield _choice(
            "window_s",
            "jobs outside the window left out",
            words,
            lambda jobs: _within(jobs, begin, end),
        )
    if (count := settings.jobs) is not None and settings.kind != ALWAYS_WHOLE:
        words = f"after the first {count}"
        yield _choice(
            "jobs", "later jobs left out", words, lambda jobs: np.arange(jobs["width"].size) < count
        )


def _choice(
    setting: str, note: str, words: str, keep: Callable[[Columns], NDArray[np.bool_]]
) -> TransformStep:
    """Return a step that keeps the jobs for which `keep` is true."""

    def apply(jobs: Columns) -> StepResult:
        kept = keep(jobs)
        out = int((~kept).sum())
        return (
            StepResult(
                taken(jobs, kept),
                f"{out} of {kept.size} jobs ({100 * out / kept.size:.3g} %), {words}",
            )
            if out
            else StepResult(jobs, "")
        )

    return TransformStep(setting, note, apply)


def _within(jobs: Columns, begin: float, end: float) -> NDArray[np.bool_]:
    return np.asarray((jobs["arrival_s"] >= begin) & (jobs["arrival_s"] < end))


def _scale_widths(jobs: Columns, machine: int | None, slots: int) -> StepResult:
    """Scale widths by the ratio of the machines, rounded half up, at least 1."""
    width = jobs["width"]
    own = machine or int(width.max())
    if own == slots:
        return StepResult(jobs, "")
    exact = width * (slots / own)
    scaled = np.maximum(np.floor(exact + 0.5), 1.0)
    work = (scaled * jobs["runtime_s"]).sum() / (exact * jobs["runtime_s"]).sum()
    words = (
        f"from a machine of {own} slots to {slots}; whole widths of at least 1 make "
        f"{work:.4g} of the exact work"
    )
    return StepResult(jobs | {"width": scaled}, words)


def _cut(jobs: Columns, widest: int) -> StepResult:
    width = jobs["width"]
    wide = int((width > widest).sum())
    if not wide:
        return StepResult(jobs, "")
    cut = jobs | {"width": np.minimum(width, widest)}
    return StepResult(
        cut,
        f"{wide} of {width.size} jobs ({100 * wide / width.size:.3g} %), {widest} slots; "
        f"{_work(cut) / _work(jobs):.4g} of the work is left",
    )


def _scale_times(jobs: Columns, scale: float) -> StepResult:
    """Scale all times alike; a run time stays at least SHORTEST_S."""
    runtime = np.maximum(jobs["runtime_s"] * scale, SHORTEST_S)
    scaled = jobs | {
        "arrival_s": jobs["arrival_s"] * scale,
        "runtime_s": runtime,
        "requested_s": np.maximum(jobs["requested_s"] * scale, runtime),
    }
    words = (
        f"by {scale:g}; tau of the bounded slowdown is scaled along ({tau_of(scale):g} s). "
        f"A scheduler's latencies aren't, so that they weigh {1 / scale:g} times as much"
    )
    coarse = (
        "; where it counts time limits in minutes, they hardly tell jobs apart" if scale < 1 else ""
    )
    return StepResult(scaled, words + coarse)


def _set_load(jobs: Columns, wanted: float, slots: int) -> StepResult:
    load = _load(jobs, slots)
    if load is None:
        raise WorkloadError(
            "workload.load: all jobs arrive at once, so that no stretching of their arrivals "
            "changes the load",
            resolution="Leave workload.load out, or give a workload whose jobs arrive one after "
            "the other.",
        )
    stretched = from_zero(jobs)["arrival_s"] * (load / wanted)
    words = (
        f"{wanted:g} of {slots} slots instead of {load:.4g}, by stretching the arrivals "
        f"{load / wanted:.4g} times"
    )
    return StepResult(jobs | {"arrival_s": stretched}, words)


def _load(jobs: Columns, slots: int) -> float | None:
    span = float(jobs["arrival_s"][-1] - jobs["arrival_s"][0])
    return _work(jobs) / (slots * span) if span > 0 else None


def _work(jobs: Columns) -> float:
    """Return the jobs' slot seconds."""
    return float((jobs["width"] * jobs["runtime_s"]).sum())


def _traits_left(workload: Workload, jobs: Columns, scale: float) -> tuple[pa.Table, int]:
    """Return the traits of the jobs that are left, and how many dependencies these have lost."""
    if not workload.traits.num_columns:
        return workload.traits, 0
    traits = scaled(picked(workload.traits, jobs[ROW]), scale)
    return tied(traits, {number: number for number in jobs["job_id"].tolist()})


def _hash(jobs: Columns, setting: str) -> str:
    return Workload("", table_of(from_zero(jobs), where=f"workload.{setting}")).hash[:HASH_DIGITS]


def _skipped(workload: Workload, jobs: Columns) -> int:
    """Return the whole seconds from the source's first arrival to the first one that is left."""
    source = columns_of(workload.table)
    return int(source["arrival_s"][source["job_id"] == jobs["job_id"][0]][0])
