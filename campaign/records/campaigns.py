"""The campaigns of a results folder: which there are, how far each is, and its best values."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from campaign.core.errors import CampaignError
from campaign.core.files import in_use
from campaign.records.history import History
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from search.pareto import front

State = Literal["running", "finished", "failed", "interrupted", "unreadable"]
"""`running`: a living process holds the ledger. `finished`: every trial is settled, and at least
one is valid. `failed`: every trial is settled, none is valid. `interrupted`: trials are left, and
nobody works on them. `unreadable`: the ledger can't be read."""
TrialCount = Callable[[History], int]
"""How many trials a campaign comes to: fewer than search.trials where its space has no more."""


@dataclass(frozen=True)
class Best:
    """The best value of one objective, of the trials that are valid and within the constraints.

    `trial` is the number of the trial that has it; both are None where there is no such trial.
    """

    direction: Direction
    value: float | None
    trial: int | None


@dataclass(frozen=True)
class CampaignSummary:
    """One campaign at a glance; `problem` says why an unreadable one is."""

    name: str
    state: State
    done: int = 0
    trials: int = 0
    testbed: str = ""
    schedulers: tuple[str, ...] = ()
    best: Mapping[str, Best] = field(default_factory=dict)
    begun: datetime | None = None
    changed: datetime | None = None
    problem: str = ""


def names_in(root: Path) -> list[str]:
    """Return the names of the campaigns in the results folder `root`, sorted."""
    return sorted(ledger.parent.name for ledger in root.glob("*/ledger.jsonl"))


def _searched(history: History) -> int:
    return int(history.config["search"]["trials"])


def summaries(root: Path, trials_of: TrialCount = _searched) -> Iterator[CampaignSummary]:
    """Yield every campaign in the results folder `root`, the most recently changed first."""
    ledgers = {name: Results(root, name).ledger_path for name in names_in(root)}
    for name in sorted(ledgers, key=lambda name: ledgers[name].stat().st_mtime, reverse=True):
        yield summary(name, ledgers[name], trials_of)


def summary(name: str, ledger: Path, trials_of: TrialCount = _searched) -> CampaignSummary:
    """Return the campaign of one ledger file."""
    # Before the ledger is read, so that one that ends meanwhile isn't taken for an interrupted one.
    running = ledger.is_file() and in_use(ledger)
    try:
        history = history_of(ledger)
        return _of_history(name, ledger, history, trials_of(history), running=running)
    except CampaignError as error:
        problem = error.brief
    except (KeyError, TypeError, ValueError, AttributeError):
        problem = f"{ledger}: its settings can't be read"
    return CampaignSummary(name, "running" if running else "unreadable", problem=problem)


def _of_history(
    name: str, ledger: Path, history: History, trials: int, *, running: bool
) -> CampaignSummary:
    head: Mapping[str, Any] = history.head or {}
    config = history.config
    done = history.lasting(int(config["search"]["retries"]))
    names = config["scheduler"]["name"]
    return CampaignSummary(
        name,
        "running" if running else _state(history, done, trials),
        done=done,
        trials=trials,
        testbed=config["testbed"]["kind"],
        schedulers=(names,) if isinstance(names, str) else tuple(names),
        best=_best_of(history, config),
        begun=datetime.fromtimestamp(head["time"], UTC),
        changed=datetime.fromtimestamp(ledger.stat().st_mtime, UTC),
    )


def _state(history: History, done: int, trials: int) -> State:
    if done < trials:
        return "interrupted"
    return "finished" if any(record.valid for record in history.final()) else "failed"


def _best_of(history: History, config: Mapping[str, Any]) -> dict[str, Best]:
    objectives: Mapping[str, Direction] = config["objectives"]
    constraints = {
        name: Bound.model_validate(bound) for name, bound in config["search"]["constraints"].items()
    }
    # The best in each single objective is on the front.
    points = front(history.comparable(), objectives, constraints)
    found = {}
    for name, direction in objectives.items():
        choose = min if direction == "minimize" else max
        record = choose(points, key=lambda one: one.metrics[name], default=None)
        value = record.metrics[name] if record else None
        found[name] = Best(direction, value, record.number if record else None)
    return found
