"""Carries a composed campaign out from its image to its report; resumes what was begun."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.compose import Composed
from campaign.dump import campaign_yaml
from campaign.errors import CampaignError, LedgerError
from campaign.executor import FAILURES, Executor
from campaign.exits import TRIALS_FAILED
from campaign.images.manifest import MANIFEST, Bundle
from campaign.jobs import Workload
from campaign.ledger import Ledger
from campaign.preflight import bundle_for, check_capacity, check_ports, workload_for
from campaign.progress import Progress, make_progress
from campaign.results import Results
from campaign.summary import conclude
from campaign.trials import Trial, TrialRecord
from campaign.version import git_commit

if TYPE_CHECKING:
    from actors.cluster import TrialSpec
    from actors.supply import Blueprint

MAY_CHANGE = frozenset(
    {
        *("search.trials", "search.retries", "search.give_up_after", "hosts", "testbed", "output", "image"),
        *("cluster.start", "bootstrap"),
    }
)
"""Settings that a resume may change; any other makes another campaign. (The image stays the one it began with.)"""


def run(composed: Composed) -> int:
    """Run or resume; returns the exit status. What was finished is kept and shown, whatever happens."""
    campaign = composed.campaign
    progress = make_progress(campaign.output.log, campaign.search.trials)
    results = Results(Path(campaign.output.results), campaign.name)
    with Ledger(results.ledger_path) as ledger:
        _check_same_campaign(composed, ledger, results)
        workload = workload_for(composed)
        bundle = bundle_for(composed, ledger, progress.say)
        try:
            records = _evaluate(_Run(composed, ledger, results, progress, workload, bundle))
        except CampaignError:
            if any(record.valid for record in ledger.history.final()):
                conclude(composed, results, ledger.history, workload, progress.say)
            raise
        conclude(composed, results, ledger.history, workload, progress.say)
    failed = [record for record in records if record.outcome in FAILURES]
    return TRIALS_FAILED if failed or not any(record.valid for record in records) else 0


@dataclass(frozen=True)
class _Run:
    """What the parts of one run share."""

    composed: Composed
    ledger: Ledger
    results: Results
    progress: Progress
    workload: Workload
    bundle: Bundle


def _evaluate(run: _Run) -> list[TrialRecord]:
    """Evaluate what is left of the campaign, with MLflow following."""
    campaign, history = run.composed.campaign, run.ledger.history
    done = history.lasting(campaign.search.retries)
    if done >= campaign.search.trials:
        run.progress.say(
            f"all {done} trials are done already; a larger search.trials goes on, another name= begins anew"
        )
        return history.final()
    check_capacity(run.composed)
    check_ports(run.composed)
    if campaign.bootstrap.via == "ansible":
        from actors.ansible import check_installed

        check_installed()
    _record_start(run)
    run.progress.resumed(done)

    from actors import ray_session

    ray_session.prepare(campaign.testbed.ray_address)
    from actors.pool import LibvirtTestbed, Pool
    from campaign.following import MlflowFollower

    say = run.progress.say
    with ExitStack() as stack:
        follower = stack.enter_context(MlflowFollower(run.composed, run.results, history, say))
        say("starting Ray and opening the hosts")
        pool = stack.enter_context(Pool(campaign.hosts, run.bundle, campaign.name, campaign.testbed))
        for facts in pool.facts.values():
            kind = facts.acceleration
            say(f"host {facts.name}: {facts.uri}, guests run under {kind.kind} ({kind.reason})")
        testbed = LibvirtTestbed(pool, _blueprint(run), _spec_factory(run))
        stack.callback(testbed.close)
        executor = Executor(
            campaign,
            run.composed.space,
            ledger=run.ledger,
            results=run.results,
            testbed=testbed,
            listeners=(run.progress, follower),
        )
        return executor.run()


def _blueprint(run: _Run) -> "Blueprint":
    from actors.supply import Blueprint

    campaign = run.composed.campaign
    smallest, largest = run.composed.space.node_counts()
    return Blueprint(
        campaign=campaign.name,
        scheduler=run.composed.scheduler,
        cluster=campaign.cluster,
        bundle=run.bundle,
        smallest=smallest,
        largest=largest,
        via=campaign.bootstrap.via,
    )


def _spec_factory(run: _Run) -> "Callable[[Trial], TrialSpec]":
    from actors.cluster import TrialSpec

    campaign, space = run.composed.campaign, run.composed.space

    def spec_of(trial: Trial) -> TrialSpec:
        is_last = trial.number + 1 >= campaign.search.trials
        return TrialSpec(
            trial=trial,
            nodes=space.nodes(trial.point),
            params=space.params(trial.point),
            validity=campaign.validity,
            workload=run.workload,
            stamps={"git_commit": git_commit(), "workload": run.workload.name},
            ahead="none" if is_last else campaign.testbed.overlap,
        )

    return spec_of


def _record_start(run: _Run) -> None:
    if run.ledger.history.head is not None:
        run.ledger.append("resumed")
        return
    campaign = run.composed.campaign
    run.results.folder.joinpath("campaign.yaml").write_text(campaign_yaml(campaign))
    run.results.manifest_path.write_bytes((run.bundle.path / MANIFEST).read_bytes())
    run.ledger.append(
        "campaign",
        id=secrets.token_hex(8),
        name=campaign.name,
        config=campaign.model_dump(mode="json"),
        image_hash=run.bundle.hash,
        workload_hash=run.workload.hash,
    )


def _check_same_campaign(composed: Composed, ledger: Ledger, results: Results) -> None:
    """Refuse to mix two campaigns in one folder."""
    head = ledger.history.head
    if head is None:
        return
    before, now = flatten(head["config"]), flatten(composed.campaign.model_dump(mode="json"))
    changed = [
        f"{path}: {before.get(path)!r} -> {now.get(path)!r}"
        for path in sorted(before.keys() | now.keys())
        if before.get(path) != now.get(path) and not any(path == k or path.startswith(f"{k}.") for k in MAY_CHANGE)
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
