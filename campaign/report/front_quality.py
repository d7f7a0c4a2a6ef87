"""How good the front is, as sections of sentences and tables, and in short for a terminal."""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from campaign.analysis.front.affected import SIZE, ClassWait
from campaign.analysis.front.correlation import FEWEST_TRIALS, ObjectiveCorrelation
from campaign.analysis.front.effects import SettingEffect
from campaign.analysis.front.findings import FrontFindings
from campaign.analysis.front.hypervolume import VolumeHistory
from campaign.report.facts import ABSENT, number, percent, short, shown, signed_percent
from campaign.report.labels import Measure
from campaign.report.sections import Section, Table
from campaign.report.workload_picture import duration
from search.importance import FEWEST_TRIALS as FEWEST_FOR_IMPORTANCE
from search.importance import SettingImportance

VOLUME = "Would more search have found more?"
IMPORTANCE = "Which setting did it?"
CORRELATION = "Do the objectives differ?"
EFFECTS = "One setting at a time"
WAITS = "Whose jobs wait longer?"
IDS = {
    IMPORTANCE: "importance",
    EFFECTS: "effects",
    VOLUME: "hypervolume",
    CORRELATION: "objectives",
    WAITS: "affected",
}
"""The sections' places in a page, in their order."""
MOST_CLASSES = 8
"""Of those who wait longer, and of those who wait less, a table has so many each."""
MOST_EFFECTS = 40
LONG = 1000.0
"""Changes beyond so many per cent are told as a factor."""
_SECONDS = re.compile(r"([\d.e+-]+(?: to [\d.e+-]+)?) s$")
ARROW = "\N{RIGHTWARDS ARROW}"
NAMED = 2
"""On a terminal, so many settings are named for each objective."""
CLASS_WORDS = {"user": "user", "partition": "partition", SIZE: "size"}


def quality_sections(found: FrontFindings) -> Iterator[Section]:
    """Yield what was found out about a front, each section under the question that it answers."""
    if found.outcomes:
        yield Section(IMPORTANCE, tuple(_importances(found)))
    if found.chosen:
        yield Section(EFFECTS, tuple(_effects(found)))
    if found.volume:
        yield Section(VOLUME, tuple(_volume(found.volume)))
    if found.correlations:
        yield Section(CORRELATION, tuple(_correlations(found.correlations)))
    if found.waits and found.chosen:
        yield Section(WAITS, tuple(_waits(found, found.chosen.number)))


def quality_lines(found: FrontFindings) -> Iterator[str]:
    """Yield what matters most of it in few lines, for the end of a campaign."""
    for objective, ranked in found.importances.items():
        if ranked:
            named = ", ".join(f"{short(one.setting)} {_share(one)}" for one in ranked[:NAMED])
            yield f"{objective} depends on {named}"
    yield from (same(one) for one in found.correlations if one.same)
    if found.waits and found.chosen:
        yield waits_in_short(found, found.chosen.number)


def grown(volume: VolumeHistory) -> str:
    """Return which trial raised the hypervolume last, in a sentence."""
    last = f"Trial {volume.last_gain} was the last to raise the hypervolume"
    if not volume.since:
        return f"{last}, and the last of all: more trials may find more."
    count = "the trial" if volume.since == 1 else f"the {volume.since} trials"
    return f"{last}; {count} after it added nothing."


def same(one: ObjectiveCorrelation) -> str:
    """Return that one of two objectives decides nothing."""
    return (
        f"{one.objectives[0]} and {one.objectives[1]} put all {one.trials} outcomes in the same "
        "order: as objectives they are one."
    )


def waits_in_short(found: FrontFindings, trial: int) -> str:
    """Return who waits longer at a trial than at the baseline, in a sentence."""
    longer = [one for one in found.waits if one.longer_s > 0]
    where = _where(found)
    if not longer:
        return f"At trial {trial}, no class of jobs waits longer than at the baseline{where}."
    most = longer[0]
    certain = sum(one.low_s > 0 for one in longer)
    known = f" ({certain} of them for certain)" if _has_intervals(longer) else ""
    return (
        f"At trial {trial}, {len(longer)} of {len(found.waits)} classes of jobs wait longer than "
        f"at the baseline{where}{known}, most of all {CLASS_WORDS[most.field]} {class_name(most)}: "
        f"{_waited(most.before_s)} became {_waited(most.after_s)}."
    )


def _where(found: FrontFindings) -> str:
    count = found.wait_instances
    if not found.waits_unseen:
        return f" on the {count} workloads that the search saw" if count > 1 else ""
    workloads = "a workload" if count == 1 else f"{count} workloads"
    return f" on {workloads} that the search has not seen"


def _has_intervals(waits: Sequence[ClassWait]) -> bool:
    return any(math.isfinite(one.low_s) for one in waits)


def _volume(volume: VolumeHistory) -> Iterator[str]:
    yield grown(volume)
    *early, last = volume.reached.items()
    reached = ", ".join(f"{percent(share)} after trial {trial}" for share, trial in early)
    yield (
        f"Of the final hypervolume, {reached} and {percent(last[0])} after trial {last[1]} "
        "were there."
    )
    if volume.baseline is not None:
        yield (
            f"The baseline alone has {percent(volume.baseline)} of the volume that is counted, the "
            f"front {percent(volume.final)}."
        )
    point = ", ".join(
        f"{name} {Measure.of(name, 'minimize', [value]).full(value)}"
        for name, value in volume.reference.items()
    )
    yield (
        "The hypervolume is the part of the box between the best value of each objective and the "
        f"reference point ({point}) that the trials so far dominate; the reference point is the "
        "worst value of the front and the baseline, and a tenth of the range beyond."
    )


def _importances(found: FrontFindings) -> Iterator[str | Table]:
    known = {name: ranked for name, ranked in found.importances.items() if ranked}
    if not known:
        yield (
            f"{found.outcomes} of {FEWEST_FOR_IMPORTANCE} trials with values are there that it "
            "takes to tell which setting matters, or the objectives never differ."
        )
        return
    order = {one.setting: None for ranked in known.values() for one in ranked}
    shares = [{one.setting: one for one in ranked} for ranked in known.values()]
    rows = tuple(
        (short(setting), *(_share(column.get(setting)) for column in shares)) for setting in order
    )
    yield Table(("setting", *known), rows)
    yield (
        "How differently each setting is spread among the best quarter of the trials and among "
        "all of them, as a share (PED-ANOVA). In brackets: where 90 % of resamples of the trials "
        "have it. It says that a setting matters, not in which direction."
    )
    for pair in found.together:
        one, other = (short(name) for name in pair.settings)
        yield (
            f"The search moved {one} and {other} together (rank correlation {pair.value:+.2f}), so "
            "what one of them did may stand here as the other's."
        )


def _share(one: SettingImportance | None) -> str:
    if one is None:
        return ABSENT
    return f"{percent(one.share)} ({100 * one.low:.0f} to {100 * one.high:.0f})"


def _correlations(found: Sequence[ObjectiveCorrelation]) -> Iterator[str | Table]:
    yield from (same(one) for one in found if one.same)
    known = [one for one in found if not math.isnan(one.value)]
    if not known:
        yield (
            f"{found[0].trials} different outcomes are there, of {FEWEST_TRIALS} that it takes to "
            "tell, or an objective never differs."
        )
        return
    rows = tuple(
        (
            f"{one.objectives[0]} and {one.objectives[1]}",
            f"{one.value:+.2f}",
            f"{one.low:+.2f} to {one.high:+.2f}",
        )
        for one in known
    )
    yield Table(("objectives", "rank correlation", "90 % interval"), rows)
    yield (
        "At +1, what improves one improves the other; at -1 each costs the other. It is over the "
        "trials' different outcomes, which the search chose and did not draw at random."
    )


def _effects(found: FrontFindings) -> Iterator[str | Table]:
    chosen = found.chosen
    assert chosen is not None  # noqa: S101  there is no such section otherwise
    where = f"trial {chosen.number}, the point of the front nearest to the best of every objective"
    if not found.effects:
        yield f"No trial differs in one setting alone from {where}."
        return
    yield f"Trials that differ in one setting alone from {where}, and what that changed."
    objectives = list(dict.fromkeys(name for one in found.effects for name in one.percent))
    moving = [one for one in found.effects if any(one.percent.values())]
    rows = [_effect(one, objectives) for one in moving[:MOST_EFFECTS]]
    still = [one for one in found.effects if not any(one.percent.values())]
    by_setting = groupby(still, key=lambda one: one.setting)
    rows += [_without_effect(list(alike), objectives) for _, alike in by_setting]
    yield Table(("setting", "from, to", "trial", *objectives), tuple(rows))
    if len(moving) > MOST_EFFECTS:
        yield f"and {len(moving) - MOST_EFFECTS} more"


def _effect(one: SettingEffect, objectives: Sequence[str]) -> tuple[str, ...]:
    return (
        short(one.setting),
        f"{shown(one.chosen)} {ARROW} {shown(one.value)}",
        str(one.trial),
        *(_points(one.percent.get(name)) for name in objectives),
    )


def _without_effect(alike: Sequence[SettingEffect], objectives: Sequence[str]) -> tuple[str, ...]:
    """Return a row for all values of a setting that change nothing."""
    if len(alike) == 1:
        return _effect(alike[0], objectives)
    first, *_, last = alike
    setting, values, _, *changes = _effect(first, objectives)
    return (
        setting,
        f"{values} \N{HORIZONTAL ELLIPSIS} {shown(last.value)}",
        f"{len(alike)} trials",
        *changes,
    )


def _waits(found: FrontFindings, trial: int) -> Iterator[str | Table]:
    yield waits_in_short(found, trial)
    waits = found.waits
    longer = [one for one in waits if one.longer_s > 0]
    shorter = [one for one in waits if one.longer_s < 0]
    shown_ones = [*longer[:MOST_CLASSES], *shorter[max(0, len(shorter) - MOST_CLASSES) :]]
    intervals = _has_intervals(shown_ones)
    if shown_ones:
        head = ("jobs by", "class", "jobs", "mean wait at the baseline", f"at trial {trial}")
        last = ("change", "90 % interval, s") if intervals else ("change",)
        rows = tuple(_wait(one)[: len(head) + len(last)] for one in shown_ones)
        yield Table((*head, *last), rows)
    left = len(waits) - len(shown_ones)
    yield (
        "Sizes are by the quartiles of width and run time. The order is by the seconds that all "
        "jobs of a class lose or gain together"
        + (f"; {left} classes in between are left out." if left else ".")
    )
    if intervals:
        yield (
            "The interval is that of the seconds that a job of the class waits longer, by a "
            "bootstrap over the workloads."
        )


def _wait(one: ClassWait) -> tuple[str, ...]:
    waits = (_waited(value) for value in (one.before_s, one.after_s))
    change = _points(one.percent) if math.isfinite(one.percent) else f"{one.longer_s:+.1f} s"
    if LONG < one.percent < math.inf:
        change = f"\N{MULTIPLICATION SIGN} {number(round(1 + one.percent / 100))}"
    interval = ABSENT if math.isnan(one.low_s) else f"{one.low_s:+.1f} to {one.high_s:+.1f}"
    return (CLASS_WORDS[one.field], class_name(one), str(one.jobs), *waits, change, interval)


def class_name(one: ClassWait) -> str:
    """Return the name of a class of jobs, with the run times of a size as people say them."""
    if one.field != SIZE:
        return one.name
    name = re.sub(r"^1 slots", "1 slot", one.name)
    return _SECONDS.sub(
        lambda found: " to ".join(duration(float(end)) for end in found[1].split(" to ")), name
    )


def _waited(seconds: float) -> str:
    # A tenth of a second is more than clocks of several nodes can tell.
    return duration(round(seconds, 1))


def _points(value: float | None) -> str:
    return ABSENT if value is None else signed_percent(value)
