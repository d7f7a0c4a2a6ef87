"""The comparison of two trials as sections of sentences and tables."""

from collections.abc import Iterable, Iterator, Sequence

from campaign.analysis.arm import RESPONSE_PARTS, Arm, JobStart
from campaign.analysis.compare import Comparison, Divergence, JobChange
from campaign.analysis.fairness import ManifestEntry
from campaign.report.facts import ABSENT, in_virtual_time, number, short, simulated
from campaign.report.sections import Section, Table
from campaign.schema.model import BETTER

VISIBLE_S = 0.005  # two decimals are shown, so a smaller change of a response is none
COARSE_S = 0.1  # accounts of a finer resolution need no remark
_WIDEST = 44  # characters of a value in the table of what differs
_NAMED = 10  # jobs in an enumeration


def title(found: Comparison) -> str:
    """Return which trials are compared, and over how many jobs."""
    one, other = (arm.name for arm in found.arms)
    return (
        f"{one} against {other}: the same {found.jobs} jobs, {found.ended} of which ended in both"
    )


def sections(found: Comparison, fairness: Sequence[ManifestEntry], top: int) -> Iterator[Section]:
    """Yield the sections of the comparison.

    They name the `top` jobs that gained most and those that lost most, and `fairness` where
    schedulers differ.
    """
    one, other = (arm.name for arm in found.arms)
    yield Section("in short", tuple(_short(found)))
    yield Section(
        "metrics",
        (
            Table(
                ("metric", "objective", one, other, "change"),
                (*_metric_rows(found), *_lone_rows(found)),
            ),
        ),
    )
    yield Section("the first decision in which they differ", tuple(_decision(found)))
    yield Section("where the time went", tuple(_time(found)))
    gained = [change for change in found.changes if change.gained_s >= VISIBLE_S]
    lost = [change for change in reversed(found.changes) if change.gained_s <= -VISIBLE_S]
    for faster, changes in ((other, gained), (one, lost)):
        if changes and top:
            yield Section(
                f"jobs that were faster in {faster}: {len(changes)}", tuple(_changes(changes, top))
            )
    rows = tuple((short(name), *map(_cut, values)) for name, values in found.differing.items())
    yield Section("what differs", (Table(("", one, other), rows) if rows else "nothing",))
    unequal = [row for row in fairness if not row.equal]
    if unequal:
        yield Section("what differs between the schedulers", tuple(_fairness(unequal)))


def _short(found: Comparison) -> Iterator[str]:
    one, other = found.arms
    for arm in found.arms:
        if simulated([arm.record]):
            yield f"{arm.name} is a simulation: nothing of it was measured"
        if in_virtual_time([arm.record]):
            yield f"{arm.name} ran in virtual time"
        if not arm.record.valid:
            why = arm.record.reason.partition("\n")[0]
            yield (
                f"{arm.name} is {arm.record.outcome.replace('_', ' ')}: "
                f"{why or 'no reason is known'}"
            )
    if found.ended:
        before, after = (total / found.ended for total in found.response_s)
        gain = before - after
        if abs(gain) < VISIBLE_S:
            yield f"mean response time: {_brief(before)} s in both"
        else:
            how = "faster" if gain > 0 else "slower"
            change = _percent(before, after)
            yield (
                f"mean response time: {other.name} is {_brief(abs(gain))} s {how} than "
                f"{one.name} ({change})"
            )
    for arm, alone in zip(found.arms, found.only, strict=True):
        if alone:
            yield f"only in {arm.name} started: {_enumerated(alone)}"


def _brief(seconds: float) -> str:
    """Return seconds with as many of two decimals as they need."""
    return f"{seconds:.2f}".rstrip("0").rstrip(".")


def _enumerated(jobs: Sequence[int]) -> str:
    more = f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
    return f"{'job' if len(jobs) == 1 else 'jobs'} {', '.join(map(str, jobs[:_NAMED]))}{more}"


def _metric_rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    for name, (before, after) in found.metrics.items():
        yield name, _wanted(found, name), number(before), number(after), _percent(before, after)


def _lone_rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    for name, values in found.lone.items():
        yield name, _wanted(found, name), *map(number, values), ""


def _wanted(found: Comparison, name: str) -> str:
    return BETTER[found.objectives[name]] if name in found.objectives else ""


def _percent(before: float, after: float) -> str:
    """Return the change in percent of `before`; empty where that is 0."""
    return f"{100 * (after - before) / abs(before):+.1f} %" if before else ""


def _decision(found: Comparison) -> Iterator[str | Table]:
    if found.divergence is None:
        yield "none: the jobs start in the same order"
    else:
        yield from _parting(found, found.divergence)
    if found.placement:
        where = zip(found.arms, found.placement.nodes, strict=True)
        nodes = " and ".join(f"on {' '.join(names)} in {arm.name}" for arm, names in where)
        yield (
            f"the first job on other nodes{' before it' if found.divergence else ''}: "
            f"{found.placement.job}, {nodes}"
        )


def _parting(found: Comparison, divergence: Divergence) -> Iterator[str | Table]:
    yield f"{divergence.common} jobs start in both before it"
    for arm, another, start in zip(found.arms, found.arms[::-1], divergence.starts, strict=True):
        yield f"{arm.name} starts {_start(start)}; {another.name} {_elsewhere(start)}"
        yield f"  {start.free_slots} of {arm.slots} slots are free then; {_others(start)}"
        if start.waiting:
            rows = ((str(one.job), str(one.width), f"{one.waited_s:.2f}") for one in start.waiting)
            yield Table(
                ("  waiting job", "slots", "for s"),
                tuple((f"  {job}", *rest) for job, *rest in rows),
            )


def _start(start: JobStart) -> str:
    where = f" on {' '.join(start.nodes)}" if start.nodes else ""
    return (
        f"job {start.job} ({start.width} wide) at {start.at_s:.2f} s, after "
        f"{start.waited_s:.2f} s{where}"
    )


def _elsewhere(start: JobStart) -> str:
    return (
        "never starts it"
        if start.elsewhere_s is None
        else f"starts it at {start.elsewhere_s:.2f} s"
    )


def _others(start: JobStart) -> str:
    if not start.waiting_jobs:
        return "no other job waits"
    which = (
        f"; the {len(start.waiting)} longest:" if start.waiting_jobs > len(start.waiting) else ":"
    )
    jobs = "1 other job" if start.waiting_jobs == 1 else f"{start.waiting_jobs} other jobs"
    return (
        f"{jobs} of {start.waiting_slots} slots "
        f"{'waits' if start.waiting_jobs == 1 else 'wait'}{which}"
    )


def _time(found: Comparison) -> Iterator[str | Table]:
    one, other = (arm.name for arm in found.arms)
    yield Table(
        (
            "",
            f"{one}, s",
            f"{other}, s",
            "change, s",
            f"a job in {one}, s",
            f"in {other}, s",
            "change, s",
        ),
        tuple(_time_rows(found)),
    )
    yield from (f"{name}: {text}" for name, text in RESPONSE_PARTS.items())
    for arm, accounts in zip(found.arms, found.accounts, strict=True):
        yield from _resolved(arm, accounts, found.ended)


def _time_rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    jobs = max(1, found.ended)
    for name, (before, after) in {**found.totals, "response": found.response_s}.items():
        totals = (f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}")
        yield (
            name,
            *totals,
            f"{before / jobs:.2f}",
            f"{after / jobs:.2f}",
            f"{(after - before) / jobs:+.2f}",
        )


def _resolved(arm: Arm, accounts: int, ended: int) -> Iterator[str]:
    """Yield how well policy and dispatch can be told apart in an arm."""
    if not accounts:
        yield (
            f"{arm.name}: no start of the scheduler's own is known, so dispatch is 0 and what "
            "it took is in policy"
        )
        return
    if accounts < ended:
        yield (
            f"{arm.name}: of {ended - accounts} jobs the scheduler's own start isn't known; "
            "their dispatch is 0"
        )
    if arm.resolution_s >= COARSE_S:
        yield (
            f"{arm.name}: the scheduler's own starts are rounded down to {arm.resolution_s:g} s, "
            "so up to that much of "
            "a job's dispatch is the policy's"
        )


def _changes(changes: Sequence[JobChange], top: int) -> Iterator[str | Table]:
    rows = tuple(
        (
            str(one.job),
            str(one.width),
            f"{abs(one.gained_s):.2f}",
            *(_split(one, name) for name in RESPONSE_PARTS),
        )
        for one in changes[:top]
    )
    yield Table(("job", "slots", "by s", *RESPONSE_PARTS), rows)
    if len(changes) > top:
        yield f"and {len(changes) - top} more"


def _split(change: JobChange, phase: str) -> str:
    before, after = (split[phase] for split in change.split)
    return f"{before:.2f} -> {after:.2f}"


def _fairness(rows: Iterable[ManifestEntry]) -> Iterator[str]:
    for row in rows:
        yield f"{row.aspect}:"
        yield from (f"  {name}: {value}" for name, value in row.values.items())


def _cut(value: str) -> str:
    line = value.partition("\n")[0]
    return (line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…") or ABSENT
