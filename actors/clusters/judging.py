"""Judges what a trial has measured, with what surrounded the measurement, by the validity gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.trial_spec import TrialSpec
from actors.hosts.slot import HostUsage
from campaign.analysis.validity import check_trial, reason, valid
from campaign.core.trials import Check, Outcome
from campaign.guest.clocks import NodeClock


@dataclass(frozen=True)
class Surroundings:
    """What surrounded a measurement on `host`, beside the jobs themselves.

    `clocks` are those of the nodes by name; `steal` and `cpu_taken` are shares of CPU time, 0 to 1,
    the latter None where it is unknown. `lost` are nodes that didn't run at the end, `faults` what
    kernels reported; `slowness` is the host's without emulation.
    """

    host: str
    clocks: Mapping[str, NodeClock]
    steal: float
    cpu_taken: float | None
    usage: HostUsage
    lost: Sequence[str]
    faults: Sequence[str]
    slowness: float


def checks_of(
    cluster_spec: ClusterSpec, spec: TrialSpec, jobs: pa.Table, around: Surroundings
) -> tuple[Check, ...]:
    """Return the checks of a trial's jobs table (JOBS_SCHEMA)."""
    topology = cluster_spec.topology(spec.nodes)
    scheduler = cluster_spec.scheduler
    policy = scheduler.policy(scheduler.Params(**spec.params))
    return check_trial(
        jobs,
        slots={node.name: node.slots for node in topology.compute},
        clocks=around.clocks,
        steal={around.host: around.steal},
        cpu_taken=around.cpu_taken,
        dispatch_delay_s=policy.dispatch_delay_s,
        vcpus_per_cpu=around.usage.vcpus_per_cpu,
        memory_promised=around.usage.memory,
        lost_nodes=around.lost,
        console_faults=around.faults,
        settings=spec.validity,
        launch_limit=scheduler.launch_limit.on(around.slowness),
        resolution_s=scheduler.resolution_s,
        dense=topology.dense,
    )


def judged(outcome: Outcome, why: str, checks: Sequence[Check]) -> tuple[Outcome, str]:
    """Return what a trial that ended so comes to under these checks, and the reason."""
    if outcome != "ok" or valid(checks):
        return outcome, why
    return "invalid", "; ".join(filter(None, (why, reason(checks))))
