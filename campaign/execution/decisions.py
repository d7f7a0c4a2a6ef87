"""What an executor does next, by the history of its campaign: decided, not done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from campaign.core.trials import Replicate, Trial
from campaign.execution.racing import Race
from campaign.records.history import History
from campaign.schema.search import SearchSettings


@dataclass(frozen=True)
class Ask:
    """Ask the sampler for `count` points."""

    count: int


@dataclass(frozen=True)
class StartTrial:
    """Start an attempt at a trial."""

    trial: Trial


@dataclass(frozen=True)
class RuleOut:
    """Evaluate a trial on no further instances, since it has lost."""

    number: int
    why: str


@dataclass(frozen=True)
class Tell:
    """Tell the sampler the results of these trials, in this order."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Wait:
    """Wait: there is nothing to do until an evaluation ends."""


@dataclass(frozen=True)
class AllSettled:
    """Stop: every trial is settled and told."""


@dataclass(frozen=True)
class GiveUp:
    """Stop: so many attempts in a row failed that the next one would fail too."""


Decision = Ask | StartTrial | RuleOut | Tell | Wait | AllSettled | GiveUp


def decide(
    history: History,
    search: SearchSettings,
    *,
    running: frozenset[Replicate],
    told: int,
    room: int,
    failures: int = 0,
    held: frozenset[Replicate] = frozenset(),
    race: Race | None = None,
    at_the_end: Sequence[Replicate] = (),
    enough: bool = False,
) -> Decision:
    """Return what to do next; nothing is changed.

    Points are asked for in batches. A batch is told as a whole, in the order of its numbers, and
    only then is the next one asked for: so suggestions don't depend on which of two parallel trials
    happened to end first. Nor do they depend on a driver that died between two points of a batch:
    the rest of the batch is asked for before any of its points is evaluated.

    `running` are the replicates being evaluated, `room` is the number of further ones that the
    testbed can take. `told` is the number of trials whose outcome the sampler knows; they are
    always the first ones. `failures` is the number of attempts that failed since one last
    succeeded. `held` are replicates that must not be started yet (see `campaign.execution.quiet`).
    `race` says which trials have lost; `enough` ends the asking, and `at_the_end` are the
    replicates that are run after it, once all trials are told.
    """
    if failures >= search.give_up_after:
        return Wait() if running else GiveUp()
    asked = len(history.asked)
    begun = asked - (asked - history.taken) % search.batch  # first of an incomplete batch, or asked
    ask = Ask(min(begun + search.batch, search.trials) - asked)
    # Trials count from 0 without gaps, so only the last batch can have open ones.
    missing = {number: history.due(number, search.retries) for number in range(told, asked)}
    incomplete = told <= begun < asked < search.trials
    if found := ask if incomplete else _lost(race, history, missing):
        return found
    due = [one for each in missing.values() for one in (race.reached(each) if race else each)]
    if due or any(one.trial >= told for one in running):
        return _start(history, due, running | held, room)
    if told < asked:
        return Tell(tuple(range(told, asked)))
    due = [one for one in at_the_end if not history.settled(one, search.retries)]
    if asked < search.trials and not enough:
        return ask
    return _start(history, due, running | held, room) if due or running else AllSettled()


def _lost(
    race: Race | None, history: History, missing: Mapping[int, Sequence[Replicate]]
) -> RuleOut | None:
    if race is None:
        return None
    for number, replicates in missing.items():
        if replicates and (why := race.lost(history, number, replicates[0].instance)):
            return RuleOut(number, why)
    return None


def _start(
    history: History, due: Sequence[Replicate], waiting: frozenset[Replicate], room: int
) -> StartTrial | Wait:
    """Return the start of the first replicate that is due and needn't wait."""
    first = next((one for one in due if one not in waiting), None)
    if first is None or room <= 0:
        return Wait()
    return StartTrial(
        Trial(
            number=first.trial,
            point=history.asked[first.trial].point,
            attempt=history.attempts.get(first, 0) + 1,
            instance=first.instance,
        )
    )
