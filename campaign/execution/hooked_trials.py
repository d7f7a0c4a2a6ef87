"""Trials with hooks around them and around their phases, on whatever testbed evaluates them.

Hooks are called in the driver. It hears of the phases of a running trial twice a second, as its
progress does; those that were too short to be heard of are told when the trial is collected.
"""

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from campaign.core.files import read_regular
from campaign.core.metric_names import HOOK, is_hooks
from campaign.core.phases import TIMED, Phase
from campaign.core.testbed import Status, Testbed
from campaign.core.trials import Check, Evaluation, Replicate, Trial, TrialRecord
from campaign.execution.executor import Amend
from campaign.execution.hook_calls import HookCalls
from campaign.hooks.context import HookAnswer, PhaseContext, TrialContext
from campaign.hooks.moments import AFTER, BEFORE, CLUSTER, FAILURE, TRIAL
from campaign.records.results import Results

MOST_BYTES = 64 << 20
"""So much one hook may leave in a trial's folder."""
MOST_FILES = 1000


@dataclass
class _Visit:
    """An attempt that hooks are called around, and what they have added to it so far."""

    trial: Trial
    place: Path
    told: TrialContext
    phase: Phase | None = None  # the one that was told to have begun
    over: set[Phase] = field(default_factory=set)  # those that were told to be over
    metrics: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    failure: str = ""  # of a hook that must not fail


class HookedTrials:
    """A testbed around another one: `campaign.core.testbed.Testbed` says what its members promise.

    `amend` is for the executor, which calls it with each record.
    """

    def __init__(
        self,
        testbed: Testbed,
        calls: HookCalls,
        results: Results,
        objectives: Collection[str],
        scratch: Path,
    ) -> None:
        """Call hooks by `calls`; `scratch` is a folder for what they are given and leave."""
        self._testbed = testbed
        self._calls = calls
        self._results = results
        self._objectives = [name for name in objectives if is_hooks(name)]
        self._scratch = scratch
        self._visits: dict[Replicate, _Visit] = {}
        self._refused: list[tuple[Trial, Evaluation]] = []

    def room(self) -> int:
        return self._testbed.room()

    def start(self, trial: Trial) -> None:
        """Call the hooks before the trial; begin it unless one of them failed that must not."""
        visit = _Visit(
            trial,
            Path(tempfile.mkdtemp(dir=self._scratch)),
            TrialContext(
                number=trial.number,
                attempt=trial.attempt,
                instance=trial.instance,
                point=trial.point,
                baseline=self._calls.is_baseline(trial.number),
                folder=str(self._results.trial_folder(trial.replicate).absolute()),
            ),
        )
        self._visits[trial.replicate] = visit
        self._call(visit, f"{TRIAL}.{BEFORE}")
        if visit.failure:
            self._refused.append((trial, Evaluation("invalid", reason=visit.failure)))
        else:
            self._testbed.start(trial)

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        """Return what was refused at once, else what has ended, with all its phases told."""
        if self._refused:
            ended = self._refused
            self._refused = []
            return ended
        ended = self._testbed.wait(timeout_s)
        for trial, evaluation in ended:
            self._tell_rest(self._visits[trial.replicate], evaluation)
        return ended

    def statuses(self) -> Mapping[int, Status]:
        """Return those of the testbed, of which the hooks of phases hear too."""
        statuses = self._testbed.statuses()
        if self._calls.at_any(CLUSTER):
            for visit in list(self._visits.values()):
                if status := statuses.get(visit.trial.number):
                    self._tell_present(visit, status)
        return statuses

    def busy(self) -> str:
        return self._testbed.busy()

    def close(self) -> None:
        self._testbed.close()

    def amend(self, record: TrialRecord, evaluation: Evaluation) -> tuple[TrialRecord, Evaluation]:
        """Call the hooks after the trial; return it with all that hooks have added to it."""
        visit = self._visits.pop(record.replicate)
        visit.told = visit.told.model_copy(
            update={
                "outcome": record.outcome,
                "reason": record.reason,
                "host": record.host,
                "metrics": record.metrics,
            }
        )
        moment = f"{TRIAL}.{AFTER if record.valid else FAILURE}"
        if self._calls.at(moment):
            folder = visit.place / "files"
            _write_files(folder, evaluation)
            visit.told = visit.told.model_copy(update={"files": str(folder)})
        self._call(visit, moment, reason="" if record.valid else record.reason)
        files = {**evaluation.files, **self._files_of(visit)}
        shutil.rmtree(visit.place, ignore_errors=True)
        return _added(record, visit, self._objectives), replace(evaluation, files=files)

    def _tell_present(self, visit: _Visit, status: Status) -> None:
        if status.phase == visit.phase:
            return
        if visit.phase:
            self._tell_phase(visit, visit.phase, AFTER, live=True)
            visit.over.add(visit.phase)
        visit.phase = status.phase if status.phase in TIMED else None
        if visit.phase and visit.phase not in visit.over:
            self._tell_phase(visit, visit.phase, BEFORE, live=True, detail=status.detail)

    def _tell_rest(self, visit: _Visit, evaluation: Evaluation) -> None:
        if not self._calls.at_any(CLUSTER):
            return
        begun = visit.phase
        visit.phase = None
        for phase in TIMED:
            seconds = evaluation.phases.get(phase)
            if phase in visit.over or (seconds is None and phase != begun):
                continue
            if phase != begun:
                self._tell_phase(visit, phase, BEFORE, live=False)
            if seconds is None:
                reason = evaluation.reason or evaluation.outcome
                self._tell_phase(visit, phase, FAILURE, live=False, reason=reason)
            else:
                self._tell_phase(visit, phase, AFTER, live=False, seconds=seconds)

    def _tell_phase(
        self,
        visit: _Visit,
        phase: Phase,
        when: str,
        *,
        live: bool,
        reason: str = "",
        **values: Any,
    ) -> None:
        context = PhaseContext(name=phase.value, live=live, **values)
        self._call(visit, f"{CLUSTER}.{phase.value}.{when}", phase=context, reason=reason)

    def _call(self, visit: _Visit, moment: str, **values: Any) -> None:
        for name in self._calls.at(moment):
            out = visit.place / "out" / name
            out.mkdir(parents=True, exist_ok=True)
            context = self._calls.context(name, moment, trial=visit.told, out=str(out), **values)
            result = self._calls.call(context, _taker(visit, name))
            if result.outcome != "ok" and self._calls.must(name) and not visit.failure:
                visit.failure = f"the hook {name} failed at {moment}: {result.detail}"

    def _files_of(self, visit: _Visit) -> dict[str, bytes]:
        """Return what the hooks have left for the trial's folder."""
        found: dict[str, bytes] = {}
        for folder in sorted((visit.place / "out").glob("*")):
            own = dict(_files_in(folder))
            if len(own) > MOST_FILES or sum(map(len, own.values())) > MOST_BYTES:
                limit = f"more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB"
                own = {"too-much.txt": f"The hook left {limit}: none is kept.\n".encode()}
            found |= {f"hooks/{folder.name}/{name}": content for name, content in own.items()}
        return found


def with_hooks(
    stack: ExitStack,
    testbed: Testbed,
    calls: HookCalls,
    results: Results,
    objectives: Collection[str],
) -> tuple[Testbed, Amend | None]:
    """Return the testbed and what amends its records: as they are where no hook is of trials."""
    if not (calls.at_any(TRIAL) or calls.at_any(CLUSTER)):
        return testbed, None
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="hpc-campaign-hooks-"))
    hooked = HookedTrials(testbed, calls, results, objectives, Path(scratch))
    return hooked, hooked.amend


def _write_files(folder: Path, evaluation: Evaluation) -> None:
    folder.mkdir()
    for name, content in evaluation.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if evaluation.jobs is not None:
        pq.write_table(evaluation.jobs, folder / "jobs.parquet")


def _files_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    total = 0
    for number, path in enumerate(sorted(folder.rglob("*"))):
        # A link could lead to what is not the hook's to give.
        if path.is_symlink() or not path.is_file():
            continue
        total += path.stat().st_size
        if total > MOST_BYTES:
            yield path.relative_to(folder).as_posix(), bytes(MOST_BYTES + 1)
            return
        if number > 2 * MOST_FILES:
            return
        with suppress(OSError):  # unreadable, or gone meanwhile
            yield path.relative_to(folder).as_posix(), read_regular(path)


def _taker(visit: _Visit, hook: str) -> Callable[[HookAnswer], str]:
    """Return what takes a hook's answer: it returns why that can't be, empty where it was done."""
    return lambda answer: _take(visit, hook, answer)


def _take(visit: _Visit, hook: str, answer: HookAnswer) -> str:
    metrics = {f"{HOOK}{hook}.{name}": value for name, value in answer.metrics.items()}
    if twice := sorted(metrics.keys() & visit.metrics.keys()):
        return f"it adds the metric {twice[0]} a second time; the first value stays"
    visit.metrics |= metrics
    visit.checks += [
        one.model_copy(update={"name": f"{HOOK}{hook}.{one.name}"}) for one in answer.checks
    ]
    return ""


def _added(record: TrialRecord, visit: _Visit, objectives: Collection[str]) -> TrialRecord:
    """Return a record with what hooks have added, which may make its trial invalid."""
    wrong = [one for one in visit.checks if not one.ok]
    reasons = [f"{one.name}: {one.value:g} {one.unit}, limit {one.limit:g}" for one in wrong]
    reasons += [visit.failure] if visit.failure else []
    missing = [name for name in objectives if name not in visit.metrics]
    reasons += [f"no value for {name}: its hook added none" for name in missing]
    update: dict[str, Any] = {
        "metrics": {**record.metrics, **visit.metrics},
        "checks": (*record.checks, *visit.checks),
    }
    if record.valid and reasons:
        update |= {"outcome": "invalid", "reason": "; ".join(reasons)}
    return record.model_copy(update=update)
