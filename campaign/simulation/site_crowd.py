"""Who shares a simulated cluster: what `people` wants, from model, workload and policy."""

from typing import TYPE_CHECKING

import numpy as np

from campaign.core.cluster import ClusterModel
from campaign.core.jobs import Workload
from campaign.simulation import engine
from campaign.simulation.engine import NS, Delays
from campaign.simulation.people import Sizes, ownership, people_of
from campaign.simulation.site_arrays import Ints, Site
from schedulers.base import Topology
from schedulers.policy import Multifactor, Policy

if TYPE_CHECKING:
    from campaign.simulation.site_people import Crowd

MINUTE_NS = 60 * NS


def keeps_accounts(model: ClusterModel) -> bool:
    """Return whether somebody keeps accounts of jobs, by which shares and limits act."""
    limited = (each.in_all != type(each.in_all)() for each in model.users)
    of_jobs = (each.per_job != type(each.per_job)() for each in model.users)
    closed = (each.allow_accounts or each.allow_qos or each.qos for each in model.partitions)
    return bool(model.accounts or model.qos or any(limited) or any(of_jobs) or any(closed))


def crowd_of(
    site: Site,
    workload: Workload,
    topology: Topology,
    policy: Policy,
    delays: Delays,
    submitted: Ints,
) -> "Crowd":
    """Return who shares the cluster, and who of them had what of it: nothing yet."""
    from campaign.simulation.fair_share import shares_of
    from campaign.simulation.limits import limits_of
    from campaign.simulation.multifactor import factors_of
    from campaign.simulation.site_people import Crowd

    model = topology.model
    wanted = policy.multifactor or Multifactor()
    if not keeps_accounts(model):
        wanted = wanted.without_accounts
    community = people_of(model)
    owners = ownership(community, model, workload)
    jobs = site.jobs
    memory = np.maximum(jobs.node_memory * jobs["count"], jobs.slot_memory * jobs.width)
    sizes = Sizes(
        np.ascontiguousarray(jobs.width),
        np.ascontiguousarray(jobs["count"]),
        -(-jobs.limit // MINUTE_NS),
        np.ascontiguousarray(jobs.gpus),
        memory,
    )
    begun = int(engine._ns(delays.clock_s - delays.lead_s))
    tree, sharing = shares_of(community, wanted.fair_share, begun // NS)
    period = int(engine._ns(wanted.period_s)) or MINUTE_NS
    shares = jobs["count"] / site.total.size + jobs.width / max(1, int(site.total.slots.sum()))
    share = 1 - shares / 2 if policy.priority.favor_small else shares / 2
    return Crowd(
        order=engine._order(policy),
        share=policy.priority.size * share,
        ranks=int(policy.multifactor is not None),
        period=period,
        next_ranking=np.array([period + begun], np.int64),
        begun=np.full(len(workload), -1, np.int64),
        active=np.zeros(len(workload), np.int64),
        actives=np.full(1, -1, np.int64),
        factors=factors_of(wanted, _sized(model, topology), community, owners, sizes, submitted),
        tree=tree,
        sharing=sharing,
        limits=limits_of(model, community, owners, sizes, site.total.size),
    )


def _sized(model: ClusterModel, topology: Topology) -> ClusterModel:
    """Return the model with groups, also where its nodes are equal ones without."""
    from dataclasses import replace

    from campaign.core.cluster import NodeGroup

    if model.groups:
        return model
    nodes = topology.compute
    return replace(model, groups=(NodeGroup("all", len(nodes), nodes[0].slots),))
