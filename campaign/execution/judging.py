"""Judges evaluations: the record of a replicate, with its metrics and outcome."""

from dataclasses import replace

from campaign.analysis.metrics import ClusterFacts, Computed, compute
from campaign.core.jobs import Workload, tau_of
from campaign.core.metric_names import is_hooks
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.schema.model import Campaign
from search.space import Space


def as_of_group(evaluation: Evaluation, acceleration: str) -> Evaluation:
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
            named=[name for name in campaign.named_metrics if not is_hooks(name)],
            workload=workload,
        )
    # What hooks find is looked for once they have been called.
    own = [name for name in campaign.objectives if not is_hooks(name)]
    missing = [name for name in own if name not in computed.values]
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
        instance=trial.instance,
    )
