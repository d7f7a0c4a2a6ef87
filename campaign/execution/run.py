"""Carries a composed campaign out from its image to its report; resumes what was begun."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.analysis.fairness import Row, plain
from campaign.config.compose import Composed
from campaign.core.errors import CampaignError, LedgerError
from campaign.core.exits import TRIALS_FAILED
from campaign.core.jobs import Workload
from campaign.core.trials import TrialRecord
from campaign.execution.executor import FAILURES, Executor
from campaign.execution.progress import Progress, make_progress
from campaign.execution.summary import conclude, facts_of, result_of
from campaign.records.ledger import Ledger
from campaign.records.results import Results
from campaign.report.facts import Facts
from campaign.testbeds import Means, Software, means_for
from campaign.testbeds.preflight import workload_for
from campaign.tracking.worker import MlflowFollower, parameters_of, tracker_for

MAY_CHANGE = frozenset(
    {
        *("search.trials", "search.retries", "search.give_up_after", "hosts", "output", "image"),
        *(
            "testbed.ray_address",
            "testbed.parallel",
            "testbed.host_failures",
            "testbed.silence_s",
            "testbed.overlap",
            "cluster.start",
            "bootstrap",
        ),
    }
)
"""Settings that a resume may change; any other makes another campaign. (The image stays the one it
began with.)"""


def run(composed: Composed) -> int:
    """Run or resume; returns the exit status. What was finished is kept and shown, whatever
    happens."""
    campaign = composed.campaign
    progress = make_progress(campaign.output.log, campaign.search.trials)
    results = Results(Path(campaign.output.results), campaign.name)
    with Ledger(results.ledger_path) as ledger:
        _check_same_campaign(composed, ledger, results)
        workload = workload_for(composed)
        facts = facts_of(campaign, composed.space.fixed, workload, composed.origins.overrides)
        means = means_for(composed)
        software = means.prepare(ledger, progress.say)
        this = _Run(composed, facts, ledger, results, progress, workload, means, software)
        left = _begin(this)
        parameters = parameters_of(composed.schedulers, composed.space)
        tracker = tracker_for(campaign, facts.config, parameters, results, ledger.history)

        def finish() -> None:
            result = result_of(facts, composed.schedulers, ledger.history, ledger.path)
            _record_fairness(result.facts.fairness, ledger)
            mlruns = Path(campaign.output.mlruns)
            conclude(result, results, mlruns, log=follower.finish, say=progress.say)

        with MlflowFollower(
            tracker, results, ledger.history, campaign.search.trials, progress.say
        ) as follower:
            try:
                records = _evaluate(this, follower) if left else ledger.history.final()
            except CampaignError:
                if any(record.valid for record in ledger.history.final()):
                    finish()
                raise
            finish()
    failed = [record for record in records if record.outcome in FAILURES]
    return TRIALS_FAILED if failed or not any(record.valid for record in records) else 0


@dataclass(frozen=True)
class _Run:
    """What the parts of one run share."""

    composed: Composed
    facts: Facts
    ledger: Ledger
    results: Results
    progress: Progress
    workload: Workload
    means: Means
    software: Software


def _begin(run: _Run) -> bool:
    """Begin the campaign, or take it up again, if anything is left to evaluate."""
    search = run.composed.campaign.search
    done = run.ledger.history.lasting(search.retries)
    if done >= search.trials:
        run.progress.say(
            f"all {done} trials are done already; a larger search.trials goes on, another name= "
            "begins anew"
        )
        return False
    run.means.check()
    _record_start(run)
    run.progress.resumed(done)
    return True


def _evaluate(run: _Run, follower: MlflowFollower) -> list[TrialRecord]:
    """Evaluate what is left of the campaign."""
    with ExitStack() as stack:
        executor = Executor(
            run.composed.campaign,
            run.composed.space,
            ledger=run.ledger,
            results=run.results,
            testbed=run.means.open(stack, run.workload, run.progress.say),
            listeners=(run.progress, follower),
        )
        return executor.run()


def _record_start(run: _Run) -> None:
    if run.ledger.history.head is not None:
        run.ledger.append("resumed")
        return
    campaign = run.composed.campaign
    run.results.folder.joinpath("campaign.yaml").write_text(run.facts.config)
    for bundle in run.software.images.values():
        run.results.keep_manifest(bundle)
    run.ledger.append(
        "campaign",
        id=secrets.token_hex(8),
        name=campaign.name,
        config=campaign.model_dump(mode="json"),
        images={name: bundle.hash for name, bundle in run.software.images.items()},
        workload_hash=run.workload.hash,
    )


def _record_fairness(rows: Sequence[Row], ledger: Ledger) -> None:
    """Put the fairness manifest of a comparison into the ledger, unless the ledger has it."""
    if rows and plain(rows) != ledger.history.fairness:
        ledger.append("fairness", rows=plain(rows))


def _check_same_campaign(composed: Composed, ledger: Ledger, results: Results) -> None:
    """Refuse to mix two campaigns in one folder."""
    head = ledger.history.head
    if head is None:
        return
    before = flatten(head["config"])
    now = flatten(composed.campaign.model_dump(mode="json"))
    changed = [
        f"{path}: {before.get(path)!r} -> {now.get(path)!r}"
        for path in sorted(before.keys() | now.keys())
        if before.get(path) != now.get(path)
        and not any(path == k or path.startswith(f"{k}.") for k in MAY_CHANGE)
    ]
    if changed:
        raise LedgerError(
            f"{results.folder} holds another campaign: {len(changed)} settings differ",
            "\n".join(changed),
            "Choose another name=, or put the settings back to resume it.",
        )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted path."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
