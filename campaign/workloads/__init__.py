"""Workloads, the jobs that every trial of a campaign replays: from traces, models, or built in."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from campaign.core.errors import ConfigError, WorkloadError
from campaign.core.jobs import Workload
from campaign.schema.workload import MODELS, WorkloadSettings


def load(settings: WorkloadSettings, *, slots: int) -> Workload:
    """Return the campaign's jobs, transformed as its settings want.

    `slots` are those of the campaign's smallest cluster: no job is wider, so that all clusters run
    the same. Raises ConfigError when settings don't belong together, and WorkloadError when a trace
    can't be read, or when the transformations leave no job or can't be done.
    """
    from campaign.workloads.transform import transform

    drawn = SOURCES[settings.kind](settings, slots)
    return replace(transform(drawn, settings, slots=slots), payload=settings.payload)


def load_instances(settings: WorkloadSettings, count: int, *, slots: int) -> Iterator[Workload]:
    """Yield the jobs of so many instances of a workload; a single one is as `load` returns it.

    Those of a model are drawn with as many seeds, from its seed up. Those of a trace arrive in as
    many windows of equal length, one after the other: what runs when a window begins is left out.
    By phases, all have the same jobs, which come later by other parts of `phase_s`. Raises as
    `load` does.
    """
    from campaign.workloads.transform import transform

    if settings.instances_by == "phases":
        first = load(settings, slots=slots)
        yield from (_later(first, settings.phase_s * part) for part in _parts(count))
        return
    if count == 1 or settings.kind in MODELS:
        seeds = range(settings.seed, settings.seed + count)
        for seed in seeds:
            yield load(settings.model_copy(update={"seed": seed}), slots=slots)
        return
    trace = read_trace(settings)
    for number, (begin, end) in enumerate(_windows(settings, trace, count)):
        of_window = settings.model_copy(update={"window_s": [begin, end]})
        try:
            found = transform(trace, of_window, slots=slots)
        except WorkloadError as error:
            raise WorkloadError(
                f"workload.instances: instance {number}, jobs that arrive {begin:.0f} s to "
                f"{end:.0f} s after the first: {error.brief}",
                resolution="Use fewer instances (workload.instances, search.holdout), or a longer "
                "trace.",
            ) from None
        yield replace(found, payload=settings.payload)


def _parts(count: int) -> Iterator[float]:
    """Yield parts of a whole, from 0: evenly spread, however many follow (van der Corput 1935)."""
    for number in range(count):
        digits = f"{number:b}"[::-1]
        yield int(digits, 2) / 2 ** len(digits)


def _later(workload: Workload, delay_s: float) -> Workload:
    """Return the same jobs, all of which come later by `delay_s`."""
    if not delay_s:
        return workload
    import pyarrow.compute as pc

    column = workload.table.column_names.index("arrival_s")
    later = pc.add(workload.table.column("arrival_s"), delay_s)
    notes = {**workload.notes, "phase": f"all jobs come {delay_s:g} s later"}
    return replace(
        workload,
        table=workload.table.set_column(column, workload.table.schema.field(column), later),
        notes=notes,
    )


def _windows(
    settings: WorkloadSettings, trace: Workload, count: int
) -> Iterator[tuple[float, float]]:
    arrivals = trace.table.column("arrival_s")
    begin, end = settings.window_s or (0.0, arrivals[-1].as_py() + 1.0)
    length = (end - begin) / count
    for number in range(count):
        yield begin + number * length, begin + (number + 1) * length


def read_trace(settings: WorkloadSettings) -> Workload:
    """Return all jobs of the trace that settings name, as its reader makes them.

    Raises as `load` does.
    """
    return SOURCES[settings.kind](settings, 0)


def _demo(settings: WorkloadSettings, slots: int) -> Workload:
    from campaign.workloads.demo import demo

    return demo(settings, slots=slots, widest=min(slots, settings.max_width or slots))


def _swf(settings: WorkloadSettings, slots: int) -> Workload:
    from campaign.workloads.swf import read_swf

    return read_swf(_file(settings, "an SWF file"), strict=settings.strict)


def _batsim(settings: WorkloadSettings, slots: int) -> Workload:
    from campaign.workloads.batsim import read_batsim

    return read_batsim(_file(settings, "a Batsim workload (JSON)"), strict=settings.strict)


def _sacct(settings: WorkloadSettings, slots: int) -> Workload:
    from campaign.workloads.sacct import read_sacct

    file = _file(settings, "what sacct has written (-P or --json)")
    return read_sacct(file, strict=settings.strict, time_zone=settings.time_zone)


def _table(settings: WorkloadSettings, slots: int) -> Workload:
    from campaign.workloads.table import read_table

    return read_table(
        _file(settings, "a table (CSV, TSV or Parquet)"),
        settings.columns,
        strict=settings.strict,
        time_zone=settings.time_zone,
    )


def _lublin(settings: WorkloadSettings, slots: int) -> Workload:
    from campaign.workloads.lublin import lublin

    return lublin(jobs=settings.drawn_jobs, seed=settings.seed, slots=slots)


def _downey(settings: WorkloadSettings, slots: int) -> Workload:
    from campaign.workloads.downey import downey

    return downey(jobs=settings.drawn_jobs, seed=settings.seed, slots=slots)


def _poisson(settings: WorkloadSettings, slots: int) -> Workload:
    from campaign.workloads.poisson import poisson

    low, high = settings.runtime_s
    return poisson(jobs=settings.drawn_jobs, seed=settings.seed, slots=slots, runtime_s=(low, high))


def _esp(settings: WorkloadSettings, slots: int) -> Workload:
    from campaign.workloads.esp import esp

    return esp(slots=slots, seed=settings.seed)


SOURCES: dict[str, Callable[[WorkloadSettings, int], Workload]] = {
    "demo": _demo,
    "swf": _swf,
    "batsim": _batsim,
    "sacct": _sacct,
    "table": _table,
    "lublin": _lublin,
    "downey": _downey,
    "poisson": _poisson,
    "esp": _esp,
}
"""What draws or reads the jobs of each kind, sized for a machine of so many slots where it isn't a
trace."""


def _file(settings: WorkloadSettings, wanted: str) -> Path:
    if settings.path is None:
        raise ConfigError(
            f"workload.path: kind={settings.kind} needs a file",
            resolution=f"Set workload.path to {wanted}.",
        )
    try:
        file = Path(settings.path).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"workload.path: {settings.path!r}: {error}", resolution="Write the path in full."
        ) from error
    if "\0" in settings.path:
        raise ConfigError(
            f"workload.path: {settings.path!r} is no path", resolution=f"Set it to {wanted}."
        )
    return file
