"""Trials of finished campaigns become trials of one that begins (`search.start_from`).

A trial is taken over where all that shaped it is the same here, the searched settings aside: these
have the values that the trial had, whether it was searched there or fixed. Each becomes a trial by
the ledger's ordinary events, so that whatever reads a ledger knows it. Its jobs and files are
copied. A driver that dies in between goes on with what is left.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.config.compose import Composed, compose_recorded
from campaign.core.errors import CampaignError, ConfigError
from campaign.core.files import in_use, user_path
from campaign.core.metric_names import matching
from campaign.core.trials import Evaluation, Point, Replicate, TrialRecord
from campaign.execution.same_campaign import MAY_CHANGE, changed_settings
from campaign.execution.same_point import Translation
from campaign.records import dataset
from campaign.records.campaigns import names_in
from campaign.records.groups import differences, image_part, in_words
from campaign.records.history import History
from campaign.records.ledger import Ledger, history_of
from campaign.records.results import Results
from campaign.records.verification import trial_damages
from search.distinct import PointKey, key_of
from search.space import ARMS, PARAMS

if TYPE_CHECKING:  # Optuna takes half a second, and a dry run takes over nothing
    from search.study import Study, Suggestion

SETTING = "search.start_from"
_FREE = MAY_CHANGE | {
    *("name", "search", "sampler", "objectives", "scheduler"),
    *("cluster.nodes", "cluster.memory_mib"),
}
"""Settings that may differ: what they say of a trial stands in its point, or shapes none.

What memory VMs have is derived from the largest cluster and the neediest scheduler of a campaign.
"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedCampaign:
    """A finished campaign, whose trials may be taken over."""

    composed: Composed
    history: History
    results: Results

    @property
    def name(self) -> str:
        return self.results.name


@dataclass(frozen=True)
class Taken:
    """A trial of `source` and its point here."""

    source: FinishedCampaign
    record: TrialRecord
    point: Point

    @property
    def origin(self) -> str:
        """The trial's name: its campaign and its number there."""
        return f"{self.source.name}:{self.record.number}"


@dataclass(frozen=True)
class Plan:
    """The trials to be taken over, in their order, and a sentence about those that are not."""

    taken: tuple[Taken, ...]
    sentence: str


def is_due(composed: Composed, history: History) -> bool:
    """Return whether trials are still to be taken over: nothing else has been tried yet."""
    return bool(composed.campaign.search.start_from) and all(
        asked.taken_from or asked.baseline for asked in history.asked.values()
    )


def sources_of(composed: Composed, history: History) -> list[FinishedCampaign]:
    """Return the campaigns that `search.start_from` names, where trials are still to be taken over.

    Raises ConfigError for one that isn't there, or that runs; where the taking over has begun, such
    a one is left out, and the log says so.
    """
    found = []
    for name in composed.campaign.search.start_from if is_due(composed, history) else ():
        try:
            found.append(_source(composed, name))
        except CampaignError as error:
            if not history.asked:
                raise
            _log.warning("no more trials are taken over: %s", error.brief)
    return found


def take_over(
    composed: Composed, sources: Sequence[FinishedCampaign], ledger: Ledger, results: Results
) -> None:
    """Take over what can be, and say how much that is, and of the rest why it can't.

    The campaign's start has been recorded. Trial 0 is the baseline: taken over too, if a source has
    it; else it is asked for, and evaluated before the sampler chooses.
    """
    plan = plan_of(composed, sources, ledger.history)
    if plan.sentence:
        _log.info("%s", plan.sentence)
    if not plan.taken:
        return
    study = _study_so_far(composed, ledger.history)
    known = {asked.taken_from: number for number, asked in ledger.history.asked.items()}
    if plan.taken[0].point != composed.baseline.point and not ledger.history.asked:
        _ask(study.ask(), ledger)
    for one in plan.taken:
        if one.origin not in known:
            suggestion = study.ask(one.point)
            known[one.origin] = suggestion.number
            _ask(suggestion, ledger, one.origin)
        for replicate in one.record.replicates or (one.record,):
            _finish(known[one.origin], one, replicate, ledger, results)


def plan_of(composed: Composed, sources: Sequence[FinishedCampaign], history: History) -> Plan:
    """Return which trials are taken over into a campaign with this history."""
    taken: list[Taken] = []
    said = []
    seen: set[PointKey] = set()
    for source in sources:
        records = source.history.comparable()
        if why := _unlike(source, composed, history):
            said.append(f"none of {len(records)} trials of {source.name} is taken over: {why}")
            continue
        found = list(_of_source(source, records, composed, history, seen))
        good = [one for one in found if isinstance(one, Taken)]
        taken += good
        left = Counter(one for one in found if isinstance(one, str))
        reasons = ", ".join(f"{count} {why}" for why, count in left.most_common())
        said.append(
            f"{len(good)} of {len(records)} trials of {source.name} taken over"
            + (f" (left out: {reasons})" if reasons else "")
        )
    baseline = composed.baseline.point
    first = next((one for one in taken if one.point == baseline), None)
    ordered = [*([first] if first else []), *(one for one in taken if one is not first)]
    return Plan(tuple(ordered), "; ".join(said))


def _of_source(
    source: FinishedCampaign,
    records: Sequence[TrialRecord],
    composed: Composed,
    history: History,
    seen: set[PointKey],
) -> Iterator[Taken | str]:
    """Yield what is taken over of each record: the trial, or why it isn't."""
    damaged = {one.path for one in trial_damages(source.results, source.history)}
    translation = Translation(source.composed, composed)
    once = composed.campaign.testbed.deterministic
    for record in records:
        name = source.composed.space.scheduler(record.point)
        image = image_part(name)
        if not record.valid:
            yield "not valid"
        elif record.ruled_out:
            yield "not evaluated on all instances"
        elif any(path in damaged for path in _tables(record, source.results)):
            yield "with jobs that are lost or damaged"
        elif lacking := _lacking(record, composed):
            yield f"without {lacking}"
        elif source.history.group.key.get(image) != history.group.key.get(image):
            yield f"on another image of {name}"
        elif isinstance(found := translation.point(record.point), str):
            yield found
        elif once and key_of(found) in seen:
            yield "with the same point as another one"
        else:
            seen.add(key_of(found))
            yield Taken(source, record, found)


def _tables(record: TrialRecord, results: Results) -> list[Path]:
    replicates = record.replicates or (record,)
    return [dataset.path_of(results.jobs_folder, one.replicate) for one in replicates]


def _lacking(record: TrialRecord, composed: Composed) -> str:
    """Return a metric that the campaign needs and that nobody looked for in this trial."""
    campaign = composed.campaign
    missing = [name for name in campaign.objectives if name not in record.metrics]
    known = {*record.metrics, *record.absent}
    missing += [
        name for name in campaign.named_metrics if not known.intersection(matching(name, known))
    ]
    return missing[0] if missing else ""


def _unlike(source: FinishedCampaign, composed: Composed, history: History) -> str:
    """Return what shaped all trials of a source otherwise than here; empty if nothing did."""
    here = {part: value for part, value in history.group.key.items() if not _of_point(part)}
    there = source.history.group
    there = replace(
        there, key={part: value for part, value in there.key.items() if not _of_point(part)}
    )
    found = [
        f"{in_words(part)}: was {_brief(was)}, is {_brief(now)}"
        for part, was, now in differences(there, here)
    ]
    found += [
        f"{path}: was {was!r}, is {now!r}"
        for path, was, now in changed_settings(source.history.config, composed.campaign, _FREE)
    ]
    return "; ".join(found)


def _brief(value: str) -> str:
    return f"{value[:12]}..." if len(value) > 40 else value or "(none)"


def _of_point(part: str) -> bool:
    """Return whether a part of a key is looked at trial by trial."""
    return part.startswith((f"{PARAMS}.", f"{ARMS}.", image_part("")))


def _source(composed: Composed, name: str) -> FinishedCampaign:
    campaign = composed.campaign
    root = user_path(campaign.output.results)
    results = Results(root, name)
    if name == campaign.name:
        raise _no_source(name, "it is this campaign itself", root, but=name)
    if not results.ledger_path.is_file():
        raise _no_source(name, f"there is no campaign {name} in {root}", root, but=campaign.name)
    if in_use(results.ledger_path):
        raise _no_source(name, "it still runs", root, but=campaign.name)
    history = history_of(results.ledger_path)
    return FinishedCampaign(compose_recorded(history.config), history, results)


def _no_source(name: str, why: str, root: Path, *, but: str) -> ConfigError:
    others = ", ".join(one for one in names_in(root) if one != but) or "none"
    return ConfigError(
        f"{SETTING} = {name!r}: {why}; allowed: finished campaigns in {root} ({others})",
        resolution="`hpc-campaign list` shows them.",
    )


def _study_so_far(composed: Composed, history: History) -> "Study":
    """Return a study that knows what was asked for; its sampler makes notes for what is taken."""
    from search.study import Study, Suggestion

    campaign = composed.campaign
    study = Study(
        composed.space,
        campaign.objectives,
        campaign.search.constraints,
        campaign.sampler,
        campaign.search.seed,
        opening=composed.opening,
    )
    for number in sorted(history.asked):
        asked = history.asked[number]
        study.restore(Suggestion(number, asked.point, asked.attrs))
    return study


def _ask(suggestion: "Suggestion", ledger: Ledger, origin: str = "") -> None:
    baseline = suggestion.number == 0
    ledger.append(
        "asked",
        trial=suggestion.number,
        point=suggestion.point,
        attrs=suggestion.attrs,
        baseline=baseline,
        origin="baseline" if baseline else suggestion.origin,
        **({"taken_from": origin} if origin else {}),
    )


def _finish(
    number: int, taken: Taken, found: TrialRecord, ledger: Ledger, results: Results
) -> None:
    """Put jobs, files and record of a taken replicate where those of any other one are."""
    history = ledger.history
    key = Replicate(number, found.instance)
    if key in history.records:
        return
    if key not in history.attempts:
        ledger.append("started", trial=number, attempt=1, instance=found.instance)
    record = found.model_copy(
        update={
            "number": number,
            "point": taken.point,
            "attempt": history.attempts[key],
            "group": history.group.number,
            "baseline": history.asked[number].baseline,
            "provenance": replace(found.provenance, taken_from=taken.origin),
            "held_out": (),
        }
    )
    source = taken.source.results
    evaluation = Evaluation(
        record.outcome,
        jobs=source.trial_jobs(found.number, found.instance),
        files=source.files(found.number, found.instance),
    )
    ledger.check_in_place()
    table = results.keep(record, evaluation, history.identity)
    ledger.append(
        "finished", trial=number, record=record.model_dump(mode="json"), jobs_sha256=table
    )
