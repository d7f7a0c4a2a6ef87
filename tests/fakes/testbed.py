"""A testbed of arithmetic: evaluates trials at once by a small model, and fails, spoils or dies by
rule."""

from collections.abc import Callable, Mapping
from functools import cache

import pyarrow as pa

from campaign.core.phases import Phase
from campaign.core.provenance import Provenance
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Outcome, Trial
from tests.samples import jobs_table

Rule = Callable[[Trial], Outcome]


class Killed(BaseException):
    """The driver's process ended here; nothing that catches errors may catch this."""


def always_ok(trial: Trial) -> Outcome:
    """Every attempt succeeds."""
    return "ok"


def by_attempt(outcomes: Mapping[tuple[int, int], Outcome]) -> Rule:
    """The outcome of each (trial, attempt) that is listed; the others succeed."""
    return lambda trial: outcomes.get((trial.number, trial.attempt), "ok")


class FakeTestbed:
    """Evaluates up to `slots` trials at a time; more nodes serve the jobs sooner, a longer
    bf_interval later.

    Of the trials that run, the one that was started last ends first: the reverse of what a naive
    driver expects. `most_running` is the highest number of trials that ran together, `started` the
    attempts in order.
    """

    def __init__(self, rule: Rule = always_ok, slots: int = 8) -> None:
        self._rule = rule
        self._slots = slots
        self._running: list[Trial] = []
        self.started: list[tuple[int, int]] = []
        self.most_running = 0
        self.closed = False

    def room(self) -> int:
        return self._slots - len(self._running)

    def start(self, trial: Trial) -> None:
        if not self.room():
            raise AssertionError(f"trial {trial.number} was started without room")
        self._running.append(trial)
        self.started.append((trial.number, trial.attempt))
        self.most_running = max(self.most_running, len(self._running))

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        if not self._running:
            raise AssertionError("waits although nothing runs")
        trial = self._running.pop()
        return [(trial, evaluate(trial, self._rule(trial)))]

    def busy(self) -> str:
        return ""

    def statuses(self) -> Mapping[int, Status]:
        return {trial.number: Status(Phase.WORKLOAD, 0.0, "replaying") for trial in self._running}

    def close(self) -> None:
        self._running.clear()
        self.closed = True


@cache
def _jobs(nodes: int, interval: float, instance: int) -> pa.Table:
    # Later instances are harder, and every third one rewards long intervals.
    own = 60 - interval if instance % 3 == 2 else interval
    return jobs_table(nodes, jobs=6, delay_s=(0.1 + own / 40) * (1 + instance))


def evaluate(trial: Trial, outcome: Outcome = "ok") -> Evaluation:
    """What the model makes of a trial: the same point gives the same jobs on the same instance."""
    provenance = Provenance(image_hash="f00d", scheduler="slurm", start="golden")
    if outcome == "infrastructure_failed":
        return Evaluation(outcome, "node n1: no answer by SSH", "local", provenance=provenance)
    interval = float(trial.point.get("scheduler.params.bf_interval", 30))
    jobs = _jobs(int(trial.point.get("cluster.nodes", 2)), interval, trial.instance)
    files = {"logs/head/var/log/slurmctld.log": f"attempt {trial.attempt}\n".encode()}
    phases = {
        Phase.PLACED: 0.1,
        Phase.STARTED: 1.0,
        Phase.REACHABLE: 2.0,
        Phase.READY: 3.0,
        Phase.FIRST_JOB: 1.0,
        Phase.WORKLOAD: 29.0,
        Phase.COLLECTED: 2.0,
        Phase.TORN_DOWN: 1.0,
    }
    reason = "" if outcome == "ok" else f"{outcome} by rule"
    return Evaluation(outcome, reason, "local", jobs, phases, provenance, files=files)
