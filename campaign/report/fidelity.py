"""What a replay says of its log, as sections of sentences and tables."""

from collections.abc import Iterator, Sequence

from campaign.analysis.fidelity import CLASSES, ClassFidelity, FidelityFindings, UseOverTime
from campaign.report.facts import ABSENT, number
from campaign.report.sections import Section, Table
from campaign.report.workload_picture import duration, sparkline

HEAD = (
    "jobs",
    "recorded: mean",
    "median",
    "p95",
    "replayed: mean",
    "median",
    "p95",
    "difference of means",
    "95 % interval",
)
MOST_CLASSES = 12
"""Of a field with more classes, a table has those with most jobs."""


def fidelity_sections(found: FidelityFindings) -> Iterator[Section]:
    """Yield the verdict, waits by class (s), the use over time, and what is missing."""
    yield Section("verdict", (f"{found.because[:1].upper()}{found.because[1:]}.",))
    yield Section("waits, s", (Table(("", *HEAD), (_row(found.whole),)),))
    for field, classes in found.by.items():
        name = CLASSES.get(field, field)
        shown = _shown(classes)
        left = len(classes) - len(shown)
        more = (f"and {left} with fewer jobs",) if left else ()
        rows = tuple(_row(one) for one in shown)
        yield Section(f"waits by {name}, s", (Table((name, *HEAD), rows), *more))
    yield Section("use of the cluster over time", tuple(_use(found.use)))
    if found.missing:
        yield Section("what is missing", found.missing)


def _shown(classes: Sequence[ClassFidelity]) -> list[ClassFidelity]:
    most = sorted(classes, key=lambda one: -one.jobs)[:MOST_CLASSES]
    return [one for one in classes if one in most]


def _row(one: ClassFidelity) -> tuple[str, ...]:
    interval = ABSENT
    if one.interval_s:
        interval = " to ".join(number(round(end, 1)) for end in one.interval_s)
    spreads = (
        number(round(value, 1))
        for of in (one.recorded, one.replayed)
        for value in (of.mean, of.median, of.p95)
    )
    difference = f"{one.difference_s:+.1f}"
    return (one.label, str(one.jobs), *spreads, difference, interval)


def _use(use: UseOverTime) -> Iterator[str]:
    highest = max(*use.recorded, *use.replayed)
    yield f"recorded  {sparkline(use.recorded, highest)}"
    yield f"replayed  {sparkline(use.replayed, highest)}"
    yield (
        f"a step is {duration(use.step_s)}; the highest use is "
        f"{max(use.recorded):.0%} recorded and {max(use.replayed):.0%} replayed"
    )
