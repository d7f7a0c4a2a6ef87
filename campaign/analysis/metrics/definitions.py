"""The metrics: each is a definition (name, unit, words, source) and a function of a trial."""

import numpy as np

from campaign.analysis.metrics.definition import METRICS, NoMeaning, metric
from campaign.analysis.metrics.measured import MetricInputs
from campaign.analysis.metrics.shares import AccountJobs, use_while_waiting
from campaign.analysis.metrics.timeline import backfilled, idle_while_waiting

__all__ = ["METRICS"]

WARM_UP = 0.1  # part of the arrival span that steady-state utilisation leaves out
KWH = 3.6e6  # joules
FAN_2007 = "Fan, Weber, Barroso 2007, Power Provisioning for a Warehouse-sized Computer"
FEITELSON_1997 = (
    "Feitelson, Rudolph, Schwiegelshohn, Sevcik, Wong 1997, Theory and Practice in "
    "Parallel Job Scheduling"
)
FRACHTENBERG_2005 = "Frachtenberg, Feitelson 2005, Pitfalls in Parallel Job Scheduling Evaluation"
JAIN_1984 = (
    "Jain, Chiu, Hawe 1984, A Quantitative Measure of Fairness and Discrimination for "
    "Resource Allocation"
)
KAY_1988 = (
    "Kay, Lauder 1988, A Fair Share Scheduler; the division: Bertsekas, Gallager 1992, Data "
    "Networks, max-min flow control"
)
SCHWIEGELSHOHN_2000 = "Schwiegelshohn, Yahyapour 2000, Fairness in Parallel Job Scheduling"
WONG_2000 = "Wong, Oliker, Kramer, Kaltz, Bailey 2000, ESP: A System Utilization Benchmark"
ZHANG_2001 = (
    "Zhang, Franke, Moreira, Sivasubramaniam 2001, An Integrated Approach to Parallel Job "
    "Scheduling Using Gang-Scheduling, Backfilling, and Migration"
)
THIS_PROJECT = "this project"
BACKFILL = f"{THIS_PROJECT}; backfilling: Lifka 1995, The ANL/IBM SP Scheduling System"
NO_TIME = NoMeaning("no time passed between the first submission and the last end")
NO_SLOTS = NoMeaning("how many slots the cluster has isn't known")
NO_NODES = NoMeaning("how many nodes the cluster has isn't known")


@metric("s", "last end - first submission; compares schedules only where all jobs arrive at once")
def _makespan_s(of: MetricInputs) -> float:
    return of.makespan


@metric("s", "mean of start - submission", of_class=True)
def _wait_mean_s(of: MetricInputs) -> float:
    return float(of.wait.mean())


@metric("s", "median of start - submission", of_class=True)
def _wait_median_s(of: MetricInputs) -> float:
    return float(np.median(of.wait))


@metric("s", "95th percentile of start - submission, interpolated linearly", of_class=True)
def _wait_p95_s(of: MetricInputs) -> float:
    return float(np.percentile(of.wait, 95))


@metric("s", "longest start - submission", of_class=True)
def _wait_max_s(of: MetricInputs) -> float:
    return float(of.wait.max())


@metric("s", "mean of end - submission", of_class=True)
def _response_mean_s(of: MetricInputs) -> float:
    return float(of.response.mean())


@metric("s", "median of end - submission", of_class=True)
def _response_median_s(of: MetricInputs) -> float:
    return float(np.median(of.response))


@metric("s", "95th percentile of end - submission, interpolated linearly", of_class=True)
def _response_p95_s(of: MetricInputs) -> float:
    return float(np.percentile(of.response, 95))


@metric("s", "longest end - submission", of_class=True)
def _response_max_s(of: MetricInputs) -> float:
    return float(of.response.max())


@metric(
    "",
    "mean of max(1, (wait + run) / max(run, tau))",
    source=FEITELSON_1997,
    of_tau=True,
    of_class=True,
)
def _bounded_slowdown_mean(of: MetricInputs) -> float:
    return float(of.bounded_slowdown.mean())


@metric(
    "",
    "median of max(1, (wait + run) / max(run, tau))",
    source=FEITELSON_1997,
    of_tau=True,
    of_class=True,
)
def _bounded_slowdown_median(of: MetricInputs) -> float:
    return float(np.median(of.bounded_slowdown))


@metric(
    "",
    "95th percentile of max(1, (wait + run) / max(run, tau)), interpolated linearly",
    source=FEITELSON_1997,
    of_tau=True,
    of_class=True,
)
def _bounded_slowdown_p95(of: MetricInputs) -> float:
    return float(np.percentile(of.bounded_slowdown, 95))


@metric(
    "",
    "mean of (wait + run) / run, not bounded (also called stretch); short jobs rule it",
    of_class=True,
)
def _slowdown_mean(of: MetricInputs) -> float | NoMeaning:
    return _without_run_time(of) or float((of.response / of.run).mean())


@metric("", "median of (wait + run) / run, not bounded (also called stretch)", of_class=True)
def _slowdown_median(of: MetricInputs) -> float | NoMeaning:
    return _without_run_time(of) or float(np.median(of.response / of.run))


def _without_run_time(of: MetricInputs) -> NoMeaning | None:
    count = int((of.run <= 0).sum())
    return (
        NoMeaning(f"jobs that ran for no time have an infinite slowdown: {count}")
        if count
        else None
    )


@metric(
    "s",
    "sum(area x response) / sum(area), area = slots x run",
    source=SCHWIEGELSHOHN_2000,
    of_class=True,
)
def _awrt_s(of: MetricInputs) -> float | NoMeaning:
    area = float(of.area.sum())
    return (
        float((of.area * of.response).sum()) / area
        if area > 0
        else NoMeaning("all jobs ran for no time")
    )


@metric(
    "",
    "Jain's index (sum of x)^2 / (users x sum of x^2) over users, x = mean bounded slowdown of a "
    "user's jobs: 1 if all users fare alike, 1 / users if one bears it all",
    best="maximize",
    source=JAIN_1984,
    of_tau=True,
    of_class=True,
)
def _fairness_jain(of: MetricInputs) -> float | NoMeaning:
    if np.isnan(of.user).any():
        return NoMeaning("whose the jobs are isn't known")
    users, owner = np.unique(of.user, return_inverse=True)
    if users.size < 2:
        return NoMeaning("all jobs are of one user")
    fared = np.bincount(owner, of.bounded_slowdown) / np.bincount(owner)
    return float(fared.sum() ** 2 / (users.size * (fared**2).sum()))


@metric(
    "fraction",
    "sum over accounts of |had - owed| / (2 x sum of had): the part of the slot seconds that went "
    "to other accounts than they were promised to, while a job of these accounts waited. What is "
    "owed at each moment are the slots that they hold, divided by their shares, but to none more "
    "than its running and waiting jobs ask for (weighted max-min fairness); 0 where no job waits",
    source=KAY_1988,
)
def _share_error(of: MetricInputs) -> float | NoMeaning:
    if len(of.cluster.shares) < 2:
        return NoMeaning("no shares are promised to two accounts or more")
    of_account = ~np.isnan(of.account)
    if np.unique(of.account[of_account]).size < 2:
        return NoMeaning("fewer than two of the accounts that shares are promised to have jobs")
    columns = (of.account, of.width, of.submit, of.start, of.end)
    shares = np.array(list(of.cluster.shares.values()), dtype=np.float64)
    jobs = AccountJobs(*(column[of_account] for column in columns))
    return use_while_waiting(jobs, shares).error


@metric("fraction", "sum(slots x run) / (cluster's slots x makespan)", best="maximize")
def _utilisation(of: MetricInputs) -> float | NoMeaning:
    capacity = _capacity(of)
    return capacity if isinstance(capacity, NoMeaning) else float(of.area.sum()) / capacity


@metric(
    "fraction",
    "slots in use / cluster's slots while jobs arrive: from a tenth of the way between the first "
    "and the last submission (warm-up cut) to the last (drain cut)",
    best="maximize",
    source=FRACHTENBERG_2005,
)
def _utilisation_steady(of: MetricInputs) -> float | NoMeaning:
    first = float(of.submit.min())
    last = float(of.submit.max())
    # Jobs that should arrive at once are submitted one after the other.
    if last <= first or np.ptp(of.arrival) == 0:
        return NoMeaning(
            "one job has no steady state" if of.width.size == 1 else "all jobs arrived at once"
        )
    if of.cluster.slots <= 0:
        return NO_SLOTS
    begin = first + WARM_UP * (last - first)
    used = of.width * np.clip(np.minimum(of.end, last) - np.maximum(of.start, begin), 0.0, None)
    return float(used.sum()) / (of.cluster.slots * (last - begin))


@metric("fraction", "1 - utilisation")
def _idle_fraction(of: MetricInputs) -> float | NoMeaning:
    used = _utilisation(of)
    return used if isinstance(used, NoMeaning) else 1.0 - used


@metric(
    "fraction",
    "loss of capacity: slot seconds idle while at least one job waits / (cluster's slots x "
    "makespan)",
    source=ZHANG_2001,
)
def _fragmentation(of: MetricInputs) -> float | NoMeaning:
    capacity = _capacity(of)
    if isinstance(capacity, NoMeaning):
        return capacity
    return idle_while_waiting(of.timeline, of.cluster.slots) / capacity


def _capacity(of: MetricInputs) -> float | NoMeaning:
    """Slot seconds of the makespan."""
    if of.cluster.slots <= 0:
        return NO_SLOTS
    return of.cluster.slots * of.makespan if of.makespan > 0 else NO_TIME


@metric(
    "fraction",
    "jobs that started ahead of the longest-waiting job while that one asked for more slots than "
    "were free / finished jobs",
    best="maximize",
    source=BACKFILL,
)
def _backfill_rate(of: MetricInputs) -> float | NoMeaning:
    if of.cluster.slots <= 0:
        return NO_SLOTS
    return float(backfilled(of.width, of.submit, of.start, of.end, of.cluster.slots).mean())


@metric(
    "s",
    "mean of start - ready; a job is ready when it is submitted and as many slots as it asks for "
    "are free, and stay so until it starts. Holds what the scheduler takes to notice, decide and "
    "launch, and what its policy keeps jobs back that would fit",
    source=THIS_PROJECT,
)
def _dispatch_latency_mean_s(of: MetricInputs) -> float | NoMeaning:
    return float(of.dispatch_latency.mean()) if of.cluster.slots > 0 else NO_SLOTS


@metric(
    "s",
    "95th percentile of start - ready (see dispatch_latency_mean_s), interpolated linearly",
    source=THIS_PROJECT,
)
def _dispatch_latency_p95_s(of: MetricInputs) -> float | NoMeaning:
    return float(np.percentile(of.dispatch_latency, 95)) if of.cluster.slots > 0 else NO_SLOTS


@metric(
    "s",
    "mean of ready - submission (see dispatch_latency_mean_s): the wait for slots, without the "
    "dispatch latency",
    source=THIS_PROJECT,
)
def _policy_wait_mean_s(of: MetricInputs) -> float | NoMeaning:
    return float((of.wait - of.dispatch_latency).mean()) if of.cluster.slots > 0 else NO_SLOTS


@metric(
    "fraction",
    "ESP-2 only: sum(slots x run time that the job should take) / (cluster's slots x makespan)",
    best="maximize",
    source=WONG_2000,
)
def _esp_efficiency(of: MetricInputs) -> float | NoMeaning:
    from campaign.workloads.esp import efficiency

    if of.cluster.slots <= 0:
        return NO_SLOTS
    value = efficiency(of.table, of.cluster.slots)
    return NoMeaning("not an ESP-2 run") if value is None else value


@metric("jobs/h", "finished jobs / makespan", best="maximize")
def _throughput_jobs_per_h(of: MetricInputs) -> float | NoMeaning:
    return of.width.size / of.makespan * 3600 if of.makespan > 0 else NO_TIME


@metric("node h", "compute nodes x makespan", source=THIS_PROJECT)
def _node_hours(of: MetricInputs) -> float | NoMeaning:
    return of.cluster.nodes * of.makespan / 3600 if of.cluster.nodes > 0 else NO_NODES


@metric(
    "node h",
    "(compute nodes + head nodes) x the phases of the trial from restoring or booting its nodes to "
    "teardown, without making a golden cluster, without what was lost on one that couldn't be "
    "used, and without waiting for a place",
    source=THIS_PROJECT,
    of_jobs=False,
)
def _node_hours_provisioned(of: MetricInputs) -> float | NoMeaning:
    held = sum(seconds for phase, seconds in of.phases.items() if phase.held)
    if held <= 0:
        return NoMeaning("nothing was provisioned")
    return (
        (of.cluster.nodes + of.cluster.head_nodes) * held / 3600
        if of.cluster.nodes > 0
        else NO_NODES
    )


@metric(
    "",
    "cost.node_hour x (compute nodes + head nodes if cost.head_nodes) x makespan in hours",
    source=THIS_PROJECT,
)
def _cost(of: MetricInputs) -> float | NoMeaning:
    if of.cluster.nodes <= 0:
        return NO_NODES
    return (
        of.cluster.cost.node_hour * (of.cluster.nodes + of.cluster.paid_heads) * of.makespan / 3600
    )


@metric(
    "kWh",
    "over the makespan: each compute node draws cost.idle_w + (cost.busy_w - cost.idle_w) x slots "
    "in use / its slots, and each head node cost.idle_w if cost.head_nodes; a model, not a "
    "measurement",
    source=FAN_2007,
)
def _energy_kwh(of: MetricInputs) -> float | NoMeaning:
    cluster = of.cluster
    power = of.cluster.cost
    if cluster.nodes <= 0:
        return NO_NODES
    if cluster.slots <= 0:
        return NO_SLOTS
    idle = power.idle_w * (cluster.nodes + cluster.paid_heads) * of.makespan
    busy = (power.busy_w - power.idle_w) * float(of.area.sum()) * cluster.nodes / cluster.slots
    return (idle + busy) / KWH


@metric("s", "mean of submission - intended submission", source=THIS_PROJECT, of_jobs=False)
def _submit_lag_mean_s(of: MetricInputs) -> float | NoMeaning:
    return float(of.lags.mean()) if of.lags.size else NoMeaning("no job was submitted")


@metric("s", "longest submission - intended submission", source=THIS_PROJECT, of_jobs=False)
def _submit_lag_max_s(of: MetricInputs) -> float | NoMeaning:
    return float(of.lags.max()) if of.lags.size else NoMeaning("no job was submitted")


@metric(
    "jobs",
    "finished jobs with exit code 0",
    best="maximize",
    source=THIS_PROJECT,
    of_jobs=False,
    of_class=True,
)
def _jobs_completed(of: MetricInputs) -> float:
    return of.completed


@metric("jobs", "jobs ended for others, not queued again", source=THIS_PROJECT, of_jobs=False)
def _jobs_preempted(of: MetricInputs) -> float:
    return of.preempted


@metric("jobs", "jobs that never finished", source=THIS_PROJECT, of_jobs=False, of_class=True)
def _jobs_unfinished(of: MetricInputs) -> float:
    return of.unfinished
