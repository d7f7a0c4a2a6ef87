"""Carries a campaign out: ask, place, evaluate, judge, tell.

Decisions (`campaign.execution.decisions`) are apart from effects. The order of effects makes a kill
harmless at any moment: an attempt's jobs and logs reach the disk before its `finished` line, and
that line before MLflow and the sampler hear of the attempt. A resume rebuilds both from the ledger.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from campaign.core.errors import GaveUpError
from campaign.core.jobs import Workload
from campaign.core.testbed import Status, Testbed
from campaign.core.trials import Evaluation, Replicate, Trial, TrialRecord
from campaign.execution.decisions import (
    AllSettled,
    Ask,
    Decision,
    GiveUp,
    RuleOut,
    StartTrial,
    Tell,
    decide,
)
from campaign.execution.distinct import in_newest_group, most_trials
from campaign.execution.ending import Patience
from campaign.execution.holdout import held_out
from campaign.execution.judging import as_of_group, judge
from campaign.execution.quiet import QuietGate
from campaign.execution.racing import Race
from campaign.execution.rehearsing import ladder_of
from campaign.records.history import Asked
from campaign.records.ledger import Ledger, building_up
from campaign.records.results import Results
from campaign.schema.model import Campaign
from search.opening import Opening
from search.space import Space
from search.study import Study, Suggestion

POLL_S = 0.5
Amend = Callable[[TrialRecord, Evaluation], tuple[TrialRecord, Evaluation]]
"""Adds to the record of a judged attempt, and to what is kept of it."""


class Listener(Protocol):
    """Is told of a campaign's progress, in the driver's thread: it must return soon."""

    def asked(self, trial: Asked) -> None:
        """Take note that a point was chosen for a trial."""

    def started(self, trial: Trial) -> None:
        """Take note that an attempt at a trial starts."""

    def running(self, statuses: Mapping[int, Status]) -> None:
        """Take note of what the running trials do; called every half second."""

    def finished(self, record: TrialRecord, evaluation: Evaluation, *, settled: bool) -> None:
        """Take note that an attempt at a replicate was judged; it was its last one if `settled`."""

    def concluded(self, record: TrialRecord) -> None:
        """Take note that a trial needs no further replicate of those that the search sees."""


class Executor:
    """Runs one campaign on one testbed and records it in one ledger.

    Its first trials, and those of each later group, are of the `opening`, if there is one.
    `workloads` are the instances on which trials are evaluated, the ones held out last; without
    them, no metric of a class of jobs has a value. `amend` has the last word on each attempt.
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
        workloads: Sequence[Workload] = (),
        listeners: tuple[Listener, ...] = (),
        amend: Amend | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._campaign = campaign
        self._space = space
        self._workloads = workloads
        self._ledger = ledger
        self._results = results
        self._testbed = testbed
        self._listeners = listeners
        self._amend = amend
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
            ladder=ladder_of(campaign, space, ledger.history),
            distinct=campaign.testbed.deterministic,
        )
        self._quiet = QuietGate(testbed.busy, campaign.testbed.wait_for_quiet_s, clock)
        self._race = Race(
            campaign.objectives,
            search.constraints,
            instances=campaign.workload.instances,
            after=search.race_after,
        )
        self._running: dict[Replicate, tuple[Trial, float]] = {}
        self._at_the_end: list[Replicate] | None = None
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
        retries = self._search.retries
        open_ones = range(self._told, len(history.asked))
        due = [one for number in open_ones for one in history.due(number, retries)]
        enough = self._patience.is_out(history, opened=self._study.opened)
        told = len(open_ones) == 0 and (enough or self._told >= self._search.trials)
        at_the_end = self._held_out() if told else ()
        due += [one for one in at_the_end if not history.settled(one, retries)]
        candidates = [one for one in due if room and one not in running]
        return decide(
            history,
            self._search,
            held=self._quiet.held(history, candidates) | self._behind(candidates),
            running=running,
            told=self._told,
            room=room,
            failures=self._failures,
            enough=enough,
            race=self._race,
            at_the_end=at_the_end,
        )

    def _behind(self, candidates: Sequence[Replicate]) -> frozenset[Replicate]:
        """Return the candidates that wait for another replicate of their trial to end.

        On machines, replicates of a trial run one after the other: its clusters have its name.
        """
        if not self._campaign.testbed.on_machines:
            return frozenset()
        busy = {one.trial for one in self._running}
        return frozenset(one for one in candidates if one.trial in busy)

    def _held_out(self) -> Sequence[Replicate]:
        if self._at_the_end is None:
            self._at_the_end = list(held_out(self._ledger.history, self._campaign))
        return self._at_the_end

    def _carry_out(self, decision: Decision) -> None:
        if isinstance(decision, Ask):
            for _ in range(decision.count):
                self._ask()
        elif isinstance(decision, StartTrial):
            self._start(decision.trial)
        elif isinstance(decision, RuleOut):
            self._ledger.append("ruled_out", trial=decision.number, why=decision.why)
            self._conclude(decision.number)
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
            retries = self._campaign.search.retries
            while self._told in history.asked and not history.due(self._told, retries):
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
        of_instance = {"instance": trial.instance} if trial.instance else {}
        self._ledger.append("started", trial=trial.number, attempt=trial.attempt, **of_instance)
        self._running[trial.replicate] = (trial, self._clock())
        # Told before, since a simulated trial is over when the testbed has started it.
        for listener in self._listeners:
            listener.started(trial)
        self._testbed.start(trial)

    def _wait(self) -> None:
        for trial, evaluation in self._testbed.wait(POLL_S):
            self._finish(trial, evaluation)
        statuses = self._testbed.statuses()
        for listener in self._listeners:
            listener.running(statuses)

    def _finish(self, trial: Trial, evaluation: Evaluation) -> None:
        _, started = self._running.pop(trial.replicate)
        history = self._ledger.history
        record = judge(
            trial,
            as_of_group(evaluation, history.acceleration),
            self._campaign,
            self._space,
            times=(started, self._clock()),
            group=history.group.number,
            baseline=history.asked[trial.number].baseline,
            workload=self._workloads[trial.instance] if self._workloads else None,
        )
        if self._amend:
            record, evaluation = self._amend(record, evaluation)
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
        settled = history.settled(trial.replicate, self._search.retries)
        for listener in self._listeners:
            listener.finished(record, evaluation, settled=settled)
        searched = trial.instance < self._campaign.workload.instances
        # One that failed on an instance may still run on another.
        still = history.due(trial.number, self._search.retries) or any(
            one.trial == trial.number for one in self._running
        )
        if searched and not still:
            self._conclude(trial.number)

    def _conclude(self, number: int) -> None:
        record = self._ledger.history.trial(number)
        for listener in self._listeners:
            listener.concluded(record)

    def _tell(self, number: int) -> None:
        record = self._ledger.history.trial(number)
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
        self._race.tell(record)
        self._told = number + 1


def _gave_up(last: TrialRecord | None, failures: int) -> GaveUpError:
    reason = last.reason if last else ""
    return GaveUpError(
        f"gave up: {failures} attempts in a row failed",
        reason,
        "Fix the cause and start the same command again: it goes on with what is left.",
    )
