"""Simulates a workload on a cluster with levers: a schedule, as `engine.simulate` returns it."""

from dataclasses import dataclass

import numpy as np

from campaign.core.jobs import Workload
from campaign.simulation import engine
from campaign.simulation.engine import HORIZON_NS, NS, Delays, Schedule
from campaign.simulation.site_arrays import (
    COMES,
    COMPLETED,
    GAVE_WAY,
    LIVE_JOB,
    NEVER_RAN,
    NOBODY,
    NOTED,
    PLACE,
    RULES,
    STATES,
    TIMED_OUT,
    Flags,
    Ints,
    Live,
    Records,
    Site,
    records,
)
from campaign.simulation.site_columns import SiteJobs, jobs_of, partitions_of, totals
from campaign.simulation.site_crowd import crowd_of, keeps_accounts
from campaign.simulation.site_setting import changes_of, classes_of, reserved
from schedulers.base import Topology
from schedulers.policy import Backfill, Levers, Multifactor, Policy

NOTES_PER_JOB = 512
"""For how many changes of reasons of a job, in the mean, there is room at first."""


@dataclass(frozen=True)
class SiteSchedule:
    """A schedule; how each job's last run ended (`arrays.Live.outcome`), and why jobs waited.

    `restarts` counts how often each job was queued again. `reasons` are rows of time (ns), job, and
    reason (`site.reasons`), where they were recorded. `follows` tells which jobs were submitted
    some time after others, and `came` which jobs were submitted at all.
    """

    schedule: Schedule
    outcome: Ints
    restarts: Ints
    reasons: Ints
    follows: Flags
    came: Flags

    @property
    def ran(self) -> Flags:
        """Tells which jobs ran at all."""
        return self.schedule.decided >= 0

    @property
    def ended_well(self) -> Flags:
        """Tells which jobs ran as long as they wanted."""
        return self.outcome == COMPLETED

    @property
    def gave_way(self) -> Flags:
        """Tells which jobs were ended for others, and not queued again."""
        return self.outcome == GAVE_WAY


def simulate_site(
    workload: Workload,
    topology: Topology,
    policy: Policy,
    delays: Delays,
    *,
    reasons: bool = False,
    jobs: SiteJobs | None = None,
) -> SiteSchedule:
    """Return what becomes of the jobs on the cluster; with `reasons`, why they waited when.

    `jobs` are what `site_jobs` found, which serves for all policies that know limits and memory
    alike.

    Raises WorkloadError for a job that the cluster can never hold.
    """
    if policy.levers is None or policy.loop is None:
        raise ValueError("a policy without levers and a clock knows no such cluster")
    notes = NOTES_PER_JOB * len(workload) if reasons else 0
    known = jobs or site_jobs(workload, topology, policy, delays)
    found = _simulated(known, workload, topology, policy, delays, notes)
    while 0 < notes == len(found.reasons):
        # Some may have found no room.
        notes *= 4
        found = _simulated(known, workload, topology, policy, delays, notes)
    return found


def _simulated(
    known: SiteJobs,
    workload: Workload,
    topology: Topology,
    policy: Policy,
    delays: Delays,
    notes: int,
) -> SiteSchedule:
    """Return the schedule, with the first so many changes of reasons."""
    from campaign.simulation.interruptible import run_loop
    from campaign.simulation.site_alike import alike_nodes
    from campaign.simulation.site_choosing import room_of
    from campaign.simulation.site_found_before import nothing_found
    from campaign.simulation.site_loop import run_site
    from campaign.simulation.work import TOO_FAR

    site, begun = _site(known, workload, topology, policy, delays, notes > 0)
    submitted = begun + _ns(delays.submit_s)
    live = _live(site, submitted, notes, whole_seconds=delays.kernel_s > 0)
    loop, beat = engine._clockwork(policy, delays, whole=True)
    crowd = crowd_of(site, workload, topology, policy, delays, live.submit)
    if keeps_accounts(topology.model):
        site.jobs.account[:] = crowd.factors.association
        site.rules.people[0] = max(site.rules.people[0], int(site.jobs.account.max(initial=0)) + 1)
    # What isn't needed isn't compiled either.
    alike = alike_nodes(site) if known.plain else None
    room = room_of(site.total.size) if alike is None else None
    before = None if alike is None else nothing_found(site, live)
    run_loop(run_site, live, site, crowd, room, alike, before, loop, beat)
    if live.halt[0] == TOO_FAR:
        raise engine._too_far("jobs")
    return _found(site, live, begun, _ns(delays.clock_s))


def site_jobs(workload: Workload, topology: Topology, policy: Policy, delays: Delays) -> SiteJobs:
    """Return the jobs as arrays; raise WorkloadError for one that the cluster can never hold."""
    table = workload.table
    limit = engine._limits(engine._column(table, "requested_s"), policy.limit_unit_s)
    longest = engine._sum(limit, engine._ns(policy.grace_s))
    runtime = engine._ns(engine._column(table, "runtime_s"))
    ran = np.minimum(engine._sum(runtime, engine._ns(delays.overrun_s)), longest)
    memory = policy.levers is not None and policy.levers.memory
    return jobs_of(workload, topology, (limit, ran, runtime > longest), memory=memory)


def _site(
    known: SiteJobs,
    workload: Workload,
    topology: Topology,
    policy: Policy,
    delays: Delays,
    reasons: bool,
) -> tuple[Site, Ints]:
    """Return the site, and when each job's submission begins."""
    assert policy.levers is not None  # noqa: S101 - for mypy; see simulate_site
    # The scheduler aligns what it plans on its clock.
    arrivals = engine._ns(engine._column(workload.table, "arrival_s")) + _ns(delays.clock_s)
    begun, _ = engine._submissions(arrivals, _ns(delays.submit_s))
    classes, above, first = classes_of(topology.model)
    members, tier = partitions_of(topology)
    reservations, nodes = reserved(topology, _ns(delays.clock_s))
    jobs = known.table.copy()
    site = Site(
        total=totals(topology, memory=policy.levers.memory),
        kinds=known.kinds,
        members=members,
        tier=tier,
        classes=classes,
        above=above,
        first=first,
        reserved=reservations,
        reserved_nodes=nodes,
        changes=changes_of(topology, _ns(delays.clock_s)),
        jobs=jobs,
        others=known.others,
        followers=known.followers,
        rules=_rules(policy, delays, topology, jobs, reasons),
    )
    return site, begun


def _rules(
    policy: Policy, delays: Delays, topology: Topology, jobs: Records, reasons: bool
) -> Records:
    levers = policy.levers or Levers()
    model = topology.model
    wanted = policy.multifactor or Multifactor()
    gives_way = any(each.preempt != "off" for each in model.partitions) or any(
        each.preempts for each in model.qos
    )
    down = any(event.becomes == "down" for event in model.events)
    restless = bool(gives_way or model.reservations or model.events)
    moves = (
        policy.priority.age
        or policy.priority.size
        or (keeps_accounts(model) and (wanted.age or wanted.fair_share.weight))
    )
    prompt = not (restless or moves)
    # Each run notes reasons of its own, though it finds the same.
    # Where a run looks at so many jobs, the next one looks at those behind what it has started.
    looks_on = levers.partition_depth or levers.least_age_s or levers.least_priority
    # Where runs take time, each delays the next one.
    keeps_time = delays.kernel_s or delays.plan_s
    settles = policy.multifactor is not None and not (restless or looks_on or keeps_time or reasons)
    return records(
        RULES,
        1,
        placement=engine.PLACEMENTS[policy.placement],
        busy_first=int(levers.busy_first),
        launch=_ns(delays.launch_s),
        release=_ns(delays.release_s),
        requeue=_ns(levers.requeue_s),
        restarts=int(down),
        prompt=int(prompt),
        depth=policy.loop.depth if policy.loop else 0,
        partition_depth=levers.partition_depth,
        most_starts=levers.most_starts,
        limits_stop=int(levers.limits_stop),
        gives_way=int(gives_way),
        patience=_ns(levers.patience_s),
        reorders=levers.reorders,
        youngest_first=int(levers.youngest_first),
        **_planning(policy, levers, delays),
        records_reasons=int(reasons),
        ages_of_all=int(wanted.age_of_all),
        settles=int(settles),
        submitting=_ns(delays.submit_s),
        people=int(max(jobs.user.max(initial=0), jobs.account.max(initial=0))) + 1,
    )


def _planning(policy: Policy, levers: Levers, delays: Delays) -> dict[str, int]:
    """Return the numbers of backfilling; all are 0 where there is none."""
    plan = policy.backfill or Backfill(0.0, 0.0, 0.0, 0)
    return {
        "tests": engine.most_tests(plan, delays),
        "starts": plan.max_start,
        "of_user": levers.of_user,
        "of_partition": levers.of_partition,
        "of_user_in_partition": levers.of_user_in_partition,
        "of_account": levers.of_account,
        "least_age": _ns(levers.least_age_s),
        "least_priority": levers.least_priority,
        "plans_of_partition": levers.plans_of_partition,
        "records": levers.plan_records,
        "window": _ns(plan.window_s),
        "resolution": _ns(plan.resolution_s) or 1,
        "foresight": _ns(plan.foresight_s),
        "linear": _ns(levers.window_step_s),
    }


def _ns(seconds: float) -> int:
    return int(engine._ns(seconds))


def _live(site: Site, submitted: Ints, notes: int, *, whole_seconds: bool) -> Live:
    jobs = submitted.size
    nodes = site.total.slots.size
    places = int(site.jobs["count"].sum())
    arrays = int(site.jobs.array.max(initial=-1)) + 1
    room = min(jobs, int(site.total.slots.sum())) + 1
    total = site.total

    def zeros(size: int = jobs) -> Ints:
        return np.zeros(size, np.int64)

    since = submitted - submitted % NS if whole_seconds else submitted
    found = records(LIVE_JOB, jobs, submit=submitted, since=since, status=COMES)
    found.outcome[:] = NEVER_RAN
    found.start[:] = NOBODY
    return Live(
        submit=submitted,
        jobs=found,
        places=records(PLACE, places),
        free=total.copy(),
        up=np.ones(nodes, np.bool_),
        left=zeros(nodes),
        queue=zeros(),
        order=zeros(),
        limit_times=zeros(room),
        limit_jobs=zeros(room),
        tasks=zeros(arrays),
        state=zeros(STATES),
        history=np.zeros((notes, 3), np.int64),
        halt=zeros(1),
    )


def _found(site: Site, live: Live, begun: Ints, clock: int) -> SiteSchedule:
    jobs = live.jobs
    began = jobs.start >= 0
    follows = site.jobs.think != NOBODY
    begun = np.where(follows, live.submit - int(site.rules.submitting[0]), begun)
    schedule = Schedule(
        begun=begun - clock,
        accepted=live.submit - clock,
        decided=np.where(began, jobs.start - clock, NOBODY),
        start=np.where(began, jobs.start + int(site.rules.launch[0]) - clock, NOBODY),
        end=np.where(began, np.minimum(jobs.end, HORIZON_NS) - clock, NOBODY),
        freed=jobs.freed - clock,
        killed=jobs.outcome == TIMED_OUT,
        count=site.jobs["count"].astype(np.int32),
        nodes=live.places.nodes.astype(np.int32),
    )
    noted = live.history[: live.state[NOTED]] - np.array([clock, 0, 0])
    came = jobs.status != COMES
    return SiteSchedule(schedule, jobs.outcome, jobs.restarts, noted, follows, came)
