"""A workload in lines of text: facts, a table of its distributions, its daily and weekly cycle."""

from collections.abc import Iterator, Mapping, Sequence

from campaign.core.jobs import Workload
from campaign.report.facts import number, percent
from campaign.report.workload_picture import duration, sparkline
from campaign.workloads.statistics import Distribution, Statistics

QUANTITIES = {  # heading and unit
    "interarrival_s": ("interarrival", "s"),
    "width": ("width", "slots"),
    "runtime_s": ("run time", "s"),
    "requested_s": ("requested", "s"),
    "accuracy": ("accuracy", "run/request"),
    "area": ("area", "slot s"),
}
FIGURES = {
    **{name: name for name in ("min", "p25", "median", "p75", "p95", "max", "mean")},
    "cv": "CV",
}

FIRST = "the first arrival in number 0"


def workload_lines(workload: Workload, known: Statistics, *, source: str) -> Iterator[str]:
    """Yield all that is known of a workload but its picture; `source` is where it came from."""
    yield from _facts(workload, known, source)
    yield ""
    yield from _table(known.distributions)
    yield ""
    serial = percent(known.serial)
    powers = percent(known.powers_of_two)
    yield f"{serial} of the jobs are 1 slot wide; the widths of {powers} are powers of two"
    clock = known.clock
    yield from _cycle("hour of the day", known.day, f"by the clock of {clock}" if clock else FIRST)
    yield from _cycle("day of the week", known.week, f"Monday is 0 ({clock})" if clock else FIRST)


def identity_lines(workload: Workload) -> Iterator[str]:
    """Yield the hash of the jobs, and what was done to get them."""
    yield f"hash          {workload.hash}"
    for name, note in workload.notes.items():
        yield f"note          {name}: {note}"


def _facts(workload: Workload, known: Statistics, source: str) -> Iterator[str]:
    load = "none: all jobs arrive at once" if known.load is None else number(known.load)
    span = f"{number(known.span_s)} s ({duration(known.span_s)})"
    yield f"name          {workload.name}"
    yield f"source        {source}"
    yield f"jobs          {known.jobs} of {known.users or 'unknown'} users"
    yield f"span          {span}, first to last arrival"
    yield f"slots         {known.slots}"
    yield f"offered load  {load}"
    yield from identity_lines(workload)


def _table(known: Mapping[str, Distribution]) -> Iterator[str]:
    """Yield a table with a column per quantity and a row per figure."""
    for headings in zip(*QUANTITIES.values(), strict=True):
        yield f"{'':<8}" + "".join(f"{heading:>12}" for heading in headings)
    columns = [known.get(quantity) for quantity in QUANTITIES]
    for name, label in FIGURES.items():
        values = (None if one is None else getattr(one, name) for one in columns)
        yield f"{label:<8}" + "".join(f"{number(value):>12}" for value in values)


def _cycle(part: str, rates: Sequence[float], counted: str) -> Iterator[str]:
    """Yield a cycle as a row of characters, and its extremes; nothing where there are no rates."""
    if rates:
        yield f"jobs per hour by {part}, {counted}:"
        most = max(rates)
        least = min(rates)
        extremes = (
            f"most in {rates.index(most)} ({number(most)}), least in {rates.index(least)} "
            f"({number(least)})"
        )
        yield f"  {sparkline(rates)}  {extremes}"
