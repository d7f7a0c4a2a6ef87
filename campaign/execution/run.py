"""Carries a composed campaign out from its image to its report; resumes what was begun."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from campaign.analysis.fairness import ManifestEntry, plain
from campaign.config.compose import Composed, compose_recorded
from campaign.config.effects import ignored_parameters
from campaign.core import log
from campaign.core.errors import CampaignError, LedgerError
from campaign.core.exits import MLFLOW_INCOMPLETE, NOTHING_FEASIBLE, TRIALS_FAILED
from campaign.core.files import sweep_drafts, user_path
from campaign.core.jobs import Workload
from campaign.core.trials import TrialRecord
from campaign.execution.attainable import check_metrics, check_rehearsals
from campaign.execution.ending import trials_of, why_fewer
from campaign.execution.executor import Executor, Listener
from campaign.execution.fidelity import fidelity_of_baseline
from campaign.execution.front import findings_of
from campaign.execution.holdout import held_out
from campaign.execution.hook_calls import HookCalls
from campaign.execution.hooked_trials import with_hooks
from campaign.execution.metrics import exported
from campaign.execution.progress import Progress
from campaign.execution.recorded import check_recorded
from campaign.execution.rehearsing import rehearsed
from campaign.execution.same_campaign import check_same_campaign
from campaign.execution.start import Start, record_start, standing, starts_group
from campaign.execution.summary import Track, conclude, facts_of, result_of
from campaign.execution.taking_over import sources_of, take_over
from campaign.execution.terminal import show
from campaign.hooks.moments import CAMPAIGN, CONCLUSION, IMAGES, SEARCH
from campaign.records.history import History
from campaign.records.ledger import Ledger
from campaign.records.results import Results
from campaign.records.verification import check_results
from campaign.report.constraints import unmet
from campaign.report.facts import CampaignFacts
from campaign.testbeds import Backend, backend_for
from campaign.testbeds.preflight import workloads_for
from campaign.tracking.of_campaign import parameters_of, tracker_for
from campaign.tracking.worker import MlflowWorker
from search.samplers import check_sampler

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchCommand:
    """The words of a command line; `new_group` tells if they ask for a new group of trials."""

    arguments: tuple[str, ...]
    new_group: bool


def run(
    composed: Composed,
    *,
    verbose: bool = False,
    arguments: Sequence[str] | None = None,
    new_group: bool = False,
) -> int:
    """Run or resume the campaign and return the exit status.

    What was finished is kept and shown, whatever happens. The log goes to the terminal (with
    `verbose` in detail) and, all of it, to the results folder. `arguments` are the words of the
    command line, as the report repeats them (default: the overrides). With `new_group`, a resume
    whose trials can't be compared with those that are there makes a group of them. Raises
    CampaignError when the campaign can't be carried out.
    """
    composed = replace(composed, campaign=standing(composed.campaign))
    given = composed.origins.overrides if arguments is None else arguments
    command = SearchCommand(tuple(given), new_group)
    campaign = composed.campaign
    results = Results(user_path(campaign.output.results), campaign.name)
    with ExitStack() as stack:
        stack.enter_context(show(campaign.output.log, verbose=verbose))
        stack.enter_context(log.context(campaign=campaign.name))
        ledger = stack.enter_context(Ledger(results.ledger_path))
        # Before the log is opened: the folder may be another campaign's.
        check_same_campaign(campaign, ledger, results.folder)
        check_recorded(ledger.history, composed.space, campaign.objectives, results.ledger_path)
        check_results(results, ledger.history)
        for draft in sweep_drafts(results.folder):
            _log.debug("removed %s, which a killed driver left", draft)
        _keep_log(stack, results.driver_log)
        stack.enter_context(log.span(_log, f"campaign {campaign.name}"))
        records, tracked = _carry_out(composed, command, ledger, results, stack)
    if any(record.failed for record in records) or not any(record.valid for record in records):
        return TRIALS_FAILED
    if not tracked:
        return MLFLOW_INCOMPLETE
    comparable = ledger.history.comparable()
    return NOTHING_FEASIBLE if unmet(comparable, campaign.search.constraints) else 0


def _keep_log(stack: ExitStack, path: Path) -> None:
    try:
        stack.enter_context(log.to_file(path))
    except OSError as error:  # a campaign doesn't fail for want of its log
        _log.warning("%s can't be written, so there is no log: %s", path, error.strerror)


def _carry_out(
    composed: Composed,
    command: SearchCommand,
    ledger: Ledger,
    results: Results,
    around: ExitStack,
) -> tuple[list[TrialRecord], bool]:
    """Return the last records in order of trials, and whether MLflow has all of them.

    When `around` is left, hooks are told how the campaign ended.
    """
    campaign = composed.campaign
    parameters = parameters_of(composed.schedulers, composed.space)
    workloads = _workloads(composed)
    start = Start.of(campaign, parameters, workloads, command.arguments)
    own_group = starts_group(start, ledger.history, results, new_group=command.new_group)
    backend = backend_for(campaign, composed.schedulers, composed.space)
    trials = trials_of(composed, ledger.history)
    left = _is_left(composed, workloads[0], trials, ledger)
    hooks = HookCalls(campaign.hooks if left else {}, ledger, results)
    around.enter_context(hooks.around(CAMPAIGN))
    sources = sources_of(composed, ledger.history) if left else []
    with hooks.around(IMAGES):
        images = backend.prepare(ledger.history.images)
    if left:
        backend.check()
        record_start(start, images, ledger, results, own_group=own_group)
        take_over(composed, sources, ledger, results)
        trials = rehearsed(composed, ledger, workloads)
    progress = _progress(composed, ledger.history, trials, begun=left)
    facts = _recorded_facts(composed, ledger, results, begun=left)
    exports = around.enter_context(exported(composed, progress, ledger.history))
    tracker = tracker_for(composed, facts.config, parameters, results, ledger.history)

    def finish() -> bool:
        with hooks.around(CONCLUSION):
            return _concluded(composed, facts, ledger, results, worker.finish)

    wanted = partial(trials_of, composed, ledger.history)
    with MlflowWorker(tracker, results, ledger.history, wanted) as worker:
        if not left:
            return ledger.history.final(), finish()
        try:
            records = _searched(
                composed,
                workloads,
                backend,
                ledger=ledger,
                results=results,
                listeners=(progress, worker, *exports),
                hooks=hooks,
            )
        except LedgerError:
            raise  # the folder may hold something else by now
        except CampaignError:
            if any(record.valid for record in ledger.history.final()):
                _try_to(finish)
            raise
        tracked = finish()
    return records, tracked


def _searched(
    composed: Composed,
    workloads: Sequence[Workload],
    backend: Backend,
    *,
    ledger: Ledger,
    results: Results,
    listeners: tuple[Listener, ...],
    hooks: HookCalls,
) -> list[TrialRecord]:
    """Open the testbed, evaluate on it what is left, and return the last records."""
    campaign = composed.campaign
    with hooks.around(SEARCH), ExitStack() as stack:
        opened = backend.open(stack, workloads, results.actor_logs(ledger.history.identity))
        testbed, amend = with_hooks(stack, opened, hooks, results, campaign.objectives)
        executor = Executor(
            campaign,
            composed.space,
            ledger=ledger,
            results=results,
            testbed=testbed,
            opening=composed.opening,
            workloads=workloads,
            listeners=listeners,
            amend=amend,
        )
        return executor.run()


def _concluded(
    composed: Composed, facts: CampaignFacts, ledger: Ledger, results: Results, track: Track
) -> bool:
    """Bring all that follows from the ledger up to date; return whether MLflow has all of it."""
    with log.step(_log, "judging the front"):
        result = result_of(facts, composed.schedulers, ledger.history, ledger.path)
        _record_fairness(result.facts.fairness, ledger)
        fidelity = fidelity_of_baseline(results, composed, ledger.history)
        quality = findings_of(result, results, ledger.history, composed.space)
    mlruns = user_path(composed.campaign.output.mlruns)
    return conclude(result, results, mlruns, track=track, fidelity=fidelity, quality=quality)


def _progress(composed: Composed, history: History, trials: int, *, begun: bool) -> Progress:
    """Return what logs progress; where a start was recorded, it counts the settled trials."""
    campaign = composed.campaign
    search = campaign.search
    progress = Progress(
        trials,
        objectives=campaign.objectives,
        constraints=search.constraints,
        instances=campaign.workload.instances,
        held_out=search.held_out,
        parallel=campaign.testbed.parallel,
        short=not campaign.testbed.on_machines,
        deterministic=campaign.testbed.deterministic,
    )
    if begun:
        again = len(history.asked) > history.taken
        done = history.lasting(search.retries)
        progress.resumed(done, history.comparable(), again=again)
    return progress


def _recorded_facts(
    composed: Composed, ledger: Ledger, results: Results, *, begun: bool
) -> CampaignFacts:
    # Where nothing was left to begin, no start was recorded: the last one that was is shown.
    shown = composed if begun else compose_recorded(ledger.history.config)
    facts = facts_of(shown, results, ledger.history)
    # A power cut under an earlier version may have emptied the file.
    results.keep_config(facts.config)
    return facts


def _try_to(finish: Callable[[], object]) -> None:
    # Another error is on its way, and it is the one to be told: what follows from it is only noted.
    try:
        finish()
    except (CampaignError, OSError) as error:
        _log.warning("the report is not up to date: %s", error)


def _workloads(composed: Composed) -> tuple[Workload, ...]:
    """Return the jobs of all instances, and log what was done to get those of the first."""
    workloads = workloads_for(composed.campaign, composed.schedulers, composed.space)
    for sentence in workloads[0].sentences:
        _log.info("workload: %s", sentence)
    return workloads


def _is_left(composed: Composed, workload: Workload, trials: int, ledger: Ledger) -> bool:
    """Return whether some of the `trials` are left to do.

    Log how many there are, where that is new. Raises ConfigError where none could be valid.
    """
    search = composed.campaign.search
    done = ledger.history.lasting(search.retries)
    if fewer := why_fewer(composed, ledger.history, trials):
        _log.info("%s", fewer)
    if done >= trials and not _all_held_out(composed, ledger.history):
        _log.info("all %d trials are done; what is held out is left", done)
        return True
    if done < trials:
        check_sampler(composed.campaign.sampler)
        check_metrics(composed, workload)
        check_rehearsals(composed, workload)
        for path, why in ignored_parameters(composed.space, composed.schedulers).items():
            _log.info("%s has no effect: %s", path, why)
        _log.info("baseline: %s", composed.baseline_in_words)
        return True
    larger = "search.trials"
    if trials < search.trials:
        larger = "search.patience or search.trials" if search.patience is not None else ""
    more = f"a larger {larger} goes on, " if larger else ""
    _log.info("all %d trials are done already; %sanother name= begins anew", done, more)
    return False


def _all_held_out(composed: Composed, history: History) -> bool:
    retries = composed.campaign.search.retries
    return all(history.settled(one, retries) for one in held_out(history, composed.campaign))


def _record_fairness(rows: Sequence[ManifestEntry], ledger: Ledger) -> None:
    """Put the fairness manifest of a comparison into the ledger, unless the ledger has it."""
    if rows and plain(rows) != ledger.history.fairness:
        ledger.append("fairness", rows=plain(rows))
