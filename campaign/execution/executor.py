"""Carries a campaign out: ask, place, evaluate, judge, tell.

Decisions (`decide`) are apart from effects (`Executor`). The order of effects makes a kill harmless
at any moment: an attempt's jobs and logs reach the disk before its `finished` line, and that line
before MLflow and the sampler hear of the attempt. A resume rebuilds both from the ledger.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from campaign.analysis.metrics import ClusterFacts, Computed, compute
from campaign.core.errors import GaveUpError
from campaign.core.jobs import Workload, tau_of
from campaign.core.testbed import Status, Testbed
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.execution.distinct import in_newest_group, most_trials
from campaign.execution.ending import Patience
from campaign.execution.quiet import QuietGate
from campaign.records.ledger import Asked, History, Ledger, building_up
from campaign.records.results import Results
from campaign.schema.model import Campaign
from campaign.schema.search import SearchSettings
from search.opening import Opening
from search.space import Space
from search.study import Study, Suggestion

POLL_S = 0.5


@dataclass(frozen=True)
class Ask:
    """Ask the sampler for `count` points."""

    count: int


@dataclass(frozen=True)
class StartTrial:
    """Start an attempt at a trial."""

    trial: Trial


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


Decision = Ask | StartTrial | Tell | Wait | AllSettled | GiveUp


def decide(
    history: History,
    search: SearchSettings,
    *,
    running: frozenset[int],
    told: int,
    room: int,
    failures: int = 0,
    held: frozenset[int] = frozenset(),
    enough: bool = False,
) -> Decision:
    """Return what to do next; nothing is changed.

    Points are asked for in batches. A batch is told as a whole, in the order of its numbers, and
    only then is the next one asked for: so suggestions don't depend on which of two parallel trials
    happened to end first. Nor do they depend on a driver that died between two points of a batch:
    the rest of the batch is asked for before any of its points is evaluated.

    `running` are the trials being evaluated, `room` is the number of further ones that the testbed
    can take. `told` is the number of trials whose outcome the sampler knows; they are always the
    first ones. `failures` is the number of attempts that failed since one last succeeded. `held`
    are trials not to be started yet (`campaign.execution.quiet`), `enough` ends the asking.
    """
    if failures >= search.give_up_after:
        return Wait() if running else GiveUp()
    asked = len(history.asked)
    begun = asked - (asked - history.taken) % search.batch  # first of an incomplete batch, or asked
    if told <= begun < asked < search.trials:
        return Ask(min(begun + search.batch, search.trials) - asked)
    # Trials count from 0 without gaps, so only the last batch can have open ones.
    still_open = [n for n in range(told, asked) if not history.settled(n, search.retries)]
    startable = [n for n in still_open if n not in running and n not in held]
    waiting = startable[0] if startable and room > 0 else None
    if waiting is not None:
        attempt = history.attempts.get(waiting, 0) + 1
        return StartTrial(
            Trial(number=waiting, point=history.asked[waiting].point, attempt=attempt)
        )
    if still_open:
        return Wait()
    if told < asked:
        return Tell(tuple(range(told, asked)))
    missing = 0 if enough else search.trials - asked
    return Ask(min(search.batch - asked + begun, missing)) if missing > 0 else AllSettled()


class Listener(Protocol):
    """Is told of a campaign's progress, in the driver's thread: it must return soon."""

    def asked(self, trial: Asked) -> None:
        """Take note that a point was chosen for a trial."""

    def started(self, trial: Trial) -> None:
        """Take note that an attempt at a trial has started."""

    def running(self, statuses: Mapping[int, Status]) -> None:
        """Take note of what the running trials do; called every half second."""

    def finished(self, record: TrialRecord, evaluation: Evaluation, *, settled: bool) -> None:
        """Take note that an attempt was judged; it was the trial's last one if `settled`."""


class Executor:
    """Runs one campaign on one testbed and records it in one ledger.

    Its first trials, and those of each later group, are of the `opening`, if there is one.
    `workload` is what they replay; without it, no metric of a class of jobs has a value.
    """

    def __init__(
        self,
        campaign: Campaign,
        space: Space,
        *,
        ledger: Ledger,
        results: Results,
        testbed: Testbed,
        opening: Opening | None = None,
        workload: Workload | None = None,
        listeners: tuple[Listener, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._campaign = campaign
        self._space = space
        self._workload = workload
        self._ledger = ledger
        self._results = results
        self._testbed = testbed
        self._listeners = listeners
        self._clock = clock
        search = campaign.search
        most = most_trials(campaign, space, ledger.history)
        self._search = search.model_copy(update={"trials": most})
        self._study = Study(
            space,
            campaign.objectives,
            search.constraints,
            campaign.sampler,
            search.seed,
            opening=opening,
            distinct=campaign.testbed.deterministic,
        )
        self._quiet = QuietGate(testbed.busy, campaign.testbed.wait_for_quiet_s, clock)
        self._running: dict[int, tuple[Trial, float]] = {}
        self._patience = Patience(campaign)
        self._told = 0
        self._failures = 0
        self._last_failure: TrialRecord | None = None
        self._restore()

    def run(self) -> list[TrialRecord]:
        """Go on until every trial is settled; return the last records in order of trials.

        Raises GaveUpError when attempt after attempt fails; its details are the last failure.
        """
        while not isinstance(decision := self._decide(), AllSettled):
            if isinstance(decision, GiveUp):
                raise _gave_up(self._last_failure, self._failures)
            self._carry_out(decision)
        return self._ledger.history.final()

    def _decide(self) -> Decision:
        running = frozenset(self._running)
        room = self._testbed.room() if len(running) < self._campaign.testbed.parallel else 0
        history = self._ledger.history
        candidates = [
            number
            for number in range(self._told, len(history.asked))
            if room and number not in running and not history.settled(number, self._search.retries)
        ]
        return decide(
            history,
            self._search,
            held=self._quiet.held(history, candidates),
            running=running,
            told=self._told,
            room=room,
            failures=self._failures,
            enough=self._patience.is_out(history, opened=self._study.opened),
        )

    def _carry_out(self, decision: Decision) -> None:
        if isinstance(decision, Ask):
            for _ in range(decision.count):
                self._ask()
        elif isinstance(decision, StartTrial):
            self._start(decision.trial)
        elif isinstance(decision, Tell):
            for number in decision.numbers:
                self._tell(number)
        else:
            self._wait()

    def _restore(self) -> None:
        # The study gets to where the ledger says that the search was: trials that are settled are
        # told, the others run as far as the sampler knows.
        history = self._ledger.history
        with building_up():
            for number in sorted(history.asked):
                asked = history.asked[number]
                self._study.restore(
                    Suggestion(number, asked.point, asked.attrs),
                    comparable=in_newest_group(history, number),
                )
            while self._told in history.asked and history.settled(
                self._told, self._campaign.search.retries
            ):
                self._tell(self._told)

    def _ask(self) -> None:
        suggestion = self._study.ask()
        self._ledger.append(
            "asked",
            trial=suggestion.number,
            point=suggestion.point,
            attrs=suggestion.attrs,
            baseline=suggestion.origin == "baseline",
            origin=suggestion.origin,
        )
        for listener in self._listeners:
            listener.asked(self._ledger.history.asked[suggestion.number])

    def _start(self, trial: Trial) -> None:
        self._ledger.append("started", trial=trial.number, attempt=trial.attempt)
        self._running[trial.number] = (trial, self._clock())
        self._testbed.start(trial)
        for listener in self._listeners:
            listener.started(trial)

    def _wait(self) -> None:
        for trial, evaluation in self._testbed.wait(POLL_S):
            self._finish(trial, evaluation)
        statuses = self._testbed.statuses()
        for listener in self._listeners:
            listener.running(statuses)

    def _finish(self, trial: Trial, evaluation: Evaluation) -> None:
        _, started = self._running.pop(trial.number)
        history = self._ledger.history
        record = judge(
            trial,
            _as_of_group(evaluation, history.acceleration),
            self._campaign,
            self._space,
            times=(started, self._clock()),
            group=history.group.number,
            baseline=history.asked[trial.number].baseline,
            workload=self._workload,
        )
        # Where the folder has vanished, it must not be made again without the ledger in it.
        self._ledger.check_in_place()
        table = self._results.keep(record, evaluation, self._ledger.history.identity)
        self._ledger.append(
            "finished",
            trial=trial.number,
            record=record.model_dump(mode="json"),
            jobs_sha256=table,
        )
        failed = record.failed
        self._failures = self._failures + 1 if failed else 0
        self._last_failure = record if failed else self._last_failure
        settled = self._ledger.history.settled(trial.number, self._campaign.search.retries)
        for listener in self._listeners:
            listener.finished(record, evaluation, settled=settled)

    def _tell(self, number: int) -> None:
        record = self._ledger.history.records[number][-1]
        if record.group != self._ledger.history.group.number:
            # Values of other jobs or other software would mislead the sampler.
            self._study.fail(number)
        elif record.valid:
            self._study.tell(number, record.metrics, baseline=record.baseline)
        elif record.outcome == "stalled":
            self._study.stall(number)
        else:
            self._study.fail(number)
        self._patience.tell(record)
        self._told = number + 1


def _gave_up(last: TrialRecord | None, failures: int) -> GaveUpError:
    reason = last.reason if last else ""
    return GaveUpError(
        f"gave up: {failures} attempts in a row failed",
        reason,
        "Fix the cause and start the same command again: it goes on with what is left.",
    )


def _as_of_group(evaluation: Evaluation, acceleration: str) -> Evaluation:
    """Return the evaluation as it counts in a group whose guests run under `acceleration`.

    One whose guests ran otherwise has failed for its host: times under emulation are no times of
    the same machine. Another host, or the same one after it was fixed, may do better.
    """
    found = evaluation.provenance.acceleration
    if evaluation.outcome != "ok" or not acceleration or found in ("", acceleration):
        return evaluation
    return replace(
        evaluation,
        outcome="infrastructure_failed",
        reason=f"acceleration: {found} on {evaluation.host}, but {acceleration} in the trials "
        "before it, so they can't be compared; set hosts.NAME.acceleration, choose hosts by "
        "testbed.group, or use another name=",
        retryable=True,
    )


def judge(
    trial: Trial,
    evaluation: Evaluation,
    campaign: Campaign,
    space: Space,
    *,
    times: tuple[float, float],
    group: int = 0,
    baseline: bool = False,
    workload: Workload | None = None,
) -> TrialRecord:
    """Return the record of an evaluated trial of a `group`, with its metrics and outcome.

    `times` are the attempt's start and end (Unix seconds); `workload` knows the classes of jobs. A
    trial that ran to its end but lacks an objective's value is invalid: there is nothing to tell
    the sampler.
    """
    outcome = evaluation.outcome
    reason = evaluation.reason
    computed = Computed({}, {})
    if evaluation.jobs is not None:
        nodes = space.nodes(trial.point)
        facts = ClusterFacts.of(campaign, nodes)
        tau_s = tau_of(campaign.workload.time_scale)
        # In virtual time, the phases took seconds of another clock than the jobs'.
        phases = {} if campaign.testbed.deterministic else evaluation.phases
        computed = compute(
            evaluation.jobs,
            facts,
            phases,
            tau_s=tau_s,
            named=campaign.named_metrics,
            workload=workload,
        )
    missing = [name for name in campaign.objectives if name not in computed.values]
    if outcome == "ok" and missing:
        why = (
            f"no value for {name}: {computed.absent.get(name, 'there is no jobs table')}"
            for name in missing
        )
        outcome = "invalid"
        reason = "; ".join(why)
    return TrialRecord(
        number=trial.number,
        point=trial.point,
        attempt=trial.attempt,
        outcome=outcome,
        reason=reason,
        host=evaluation.host,
        metrics=dict(computed.values),
        absent=dict(computed.absent),
        phases=dict(evaluation.phases),
        provenance=evaluation.provenance,
        checks=evaluation.checks,
        loads=evaluation.loads,
        busy=evaluation.busy,
        retryable=evaluation.retryable,
        started=times[0],
        ended=times[1],
        group=group,
        baseline=baseline,
    )
