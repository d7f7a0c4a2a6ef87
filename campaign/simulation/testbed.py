"""Evaluates trials by simulation: the scheduler parameters and jobs table of virtual machines."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from campaign.analysis.validity import check_schedule, reason, valid
from campaign.core.cluster import model_of
from campaign.core.errors import CampaignError, ConfigError
from campaign.core.jobs import Workload
from campaign.core.levers import Lever, levers_in_use
from campaign.core.phases import Phase
from campaign.core.provenance import Provenance
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial
from campaign.core.version import software
from campaign.schema.model import Campaign
from campaign.simulation.engine import Delays, Nodes, simulate
from campaign.simulation.table import jobs_table
from campaign.simulation.unmodelled import unmodelled, unmodelled_wishes
from campaign.workloads.known_names import known_to
from schedulers.base import Params, Topology, node_name
from schedulers.interface import Scheduler
from schedulers.policy import Policy, Reserve
from schedulers.topologies import topology_of
from search.space import ARMS, PARAMS, Space

if TYPE_CHECKING:
    from campaign.simulation.site_columns import SiteJobs
    from campaign.simulation.site_simulate import SiteSchedule

IDEAL: Mapping[str, Reserve] = {"fcfs": "none", "easy": "first", "conservative": "all"}
KEPT = 16
"""For so many clusters, the workload's jobs are kept as arrays."""


class SimulationTestbed:
    """Evaluates a trial when it is started, on that of the `workloads` which is its instance.

    `campaign.core.testbed.Testbed` says what each member promises.
    """

    def __init__(
        self,
        campaign: Campaign,
        schedulers: Mapping[str, Scheduler[Params]],
        space: Space,
        *workloads: Workload,
    ) -> None:
        self._campaign = campaign
        self._schedulers = schedulers
        self._space = space
        self._workloads = workloads
        self._ended: list[tuple[Trial, Evaluation]] = []
        self._jobs: dict[object, SiteJobs] = {}
        self._said: dict[object, str] = {}
        self._topologies: dict[int, Topology] = {}

    def room(self) -> int:
        return 1

    def start(self, trial: Trial) -> None:
        self._ended.append((trial, self.evaluate(trial)))

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        ended = self._ended
        self._ended = []
        return ended

    def busy(self) -> str:
        """Return nothing: simulated trials are disturbed by nobody."""
        return ""

    def statuses(self) -> Mapping[int, Status]:
        return {}

    def close(self) -> None:
        """There is nothing to end."""

    @property
    def policy_name(self) -> str:
        """The name of the policy that decides, in words."""
        kind = self._campaign.testbed.policy
        return (
            f"policy: {' or '.join(self._schedulers)}'s own"
            if kind == "scheduler"
            else f"policy: ideal {kind}"
        )

    @cached_property
    def never_used(self) -> frozenset[str]:
        """The searched settings without a meaning here, even with all others at their defaults."""
        return frozenset(
            path
            for name, scheduler in self._schedulers.items()
            for ignored in (*self._never_acting(name), *scheduler.Params.open)
            for path in self._space.dimensions
            for own in (f"{PARAMS}.{ignored}", f"{ARMS}.{name}.{ignored}")
            if path == own or (own.endswith(".") and path.startswith(own))
        )

    def _never_acting(self, name: str) -> Iterator[str]:
        policy = self.policy(name, {})
        acting = self._acting(policy)
        yield from (ignored for ignored in policy.ignored if ignored not in acting)

    def warm_up(self) -> None:
        """Compile what trials will run, so that compiling is not in the time of the first one."""
        for name in self._schedulers:
            nodes = Nodes(self._space.node_counts()[0], self._campaign.cluster.node_slots)
            # Without jobs: Numba compiles for types, whatever the values.
            first = self._workloads[0]
            nothing = replace(first, table=first.table.slice(0, 0), traits=first.traits.slice(0, 0))
            # A workload that doesn't fit is told of by the trials.
            with suppress(CampaignError):
                self._simulated(nothing, nodes, self.policy(name, {}), Delays(), like=first)

    def policy(self, name: str, params: Mapping[str, object]) -> Policy:
        """Return how the scheduler with `params` decides, or the campaign's ideal policy.

        An ideal policy keeps the order of the scheduler's priorities, without its clock; limits are
        exact to it, neither rounded up nor with a grace.
        """
        scheduler = self._schedulers[name]
        policy = scheduler.policy(scheduler.Params(**params))
        kind = self._campaign.testbed.policy
        if kind == "scheduler":
            return policy
        ignored = (*policy.ignored, *(name for name in policy.timing if name not in policy.ignored))
        return replace(
            policy,
            loop=None,
            backfill=None,
            reserve=IDEAL[kind],
            depth=0,
            limit_unit_s=0.0,
            grace_s=0.0,
            ignored=ignored,
            unmodelled=(),
        )

    def evaluate(self, trial: Trial) -> Evaluation:
        """Return a trial's evaluation: the same each time, but for the seconds that it took."""
        begun = time.perf_counter()
        nodes = self._nodes(trial)
        scheduler = self._space.scheduler(trial.point)
        params = self._space.params(trial.point)
        policy = self.policy(scheduler, params)
        delays = self._delays
        acting = self._acting(policy)
        ignored = ", ".join(n for n in policy.ignored if n in params and n not in acting)
        workload = self._workloads[trial.instance]
        known = self._provenance(scheduler, delays, workload)
        options = self._left_out(policy, scheduler, params, acting)
        provenance = replace(
            known,
            ignored_parameters=ignored,
            not_simulated=self._not_simulated(workload, nodes, options),
        )
        try:
            jobs, slots = self._simulated(workload, nodes, policy, delays)
        except CampaignError as error:
            return Evaluation(
                error.outcome, str(error), provenance=provenance, retryable=error.retryable
            )
        checks = check_schedule(jobs, slots=slots, settings=self._campaign.validity)
        return Evaluation(
            outcome="ok" if valid(checks) else "invalid",
            reason=reason(checks),
            jobs=jobs,
            phases={Phase.SIMULATED: time.perf_counter() - begun},
            provenance=provenance,
            checks=checks,
            retryable=False,  # the same would come out
            files={"policy.json": json.dumps(asdict(policy), indent=1).encode()},
        )

    @property
    def wishes_left_out(self) -> list[str]:
        """What jobs ask for and schedulers are told, and isn't simulated, in sentences."""
        model = model_of(self._campaign.cluster, self._space.node_counts()[0])
        return list(unmodelled_wishes(self._workloads[0], model))

    def _left_out(
        self, policy: Policy, scheduler: str, params: Mapping[str, object], acting: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the parameters that would decide something on a real cluster, and don't here."""
        usual = self._schedulers[scheduler].Params()
        return tuple(
            name
            for name in policy.unmodelled
            if name in params and name not in acting and params[name] != getattr(usual, name)
        )

    def _not_simulated(self, workload: Workload, nodes: Nodes, options: tuple[str, ...]) -> str:
        """Return in words what isn't simulated; the same for all trials with such `options`."""
        key = (workload.hash, options)
        if key not in self._said:
            model = model_of(self._campaign.cluster, nodes.count)
            self._said[key] = "; ".join(unmodelled(workload, model, options))
        return self._said[key]

    @cached_property
    def _levers(self) -> frozenset[Lever]:
        settings = self._campaign
        return frozenset(used.lever for used in levers_in_use(settings.cluster, settings.workload))

    def _acting(self, policy: Policy) -> tuple[str, ...]:
        """Return the parameters that act only because of what the cluster is beside its nodes, or
        because backfilling takes time."""
        timed = policy.with_time if self._delays.plan_s else ()
        if not self._levers:
            return timed
        accounts = self._levers & {Lever.ACCOUNTS, Lever.QOS, Lever.LIMITS}
        return (*timed, *policy.with_model, *(policy.with_accounts if accounts else ()))

    def _simulated(
        self,
        workload: Workload,
        nodes: Nodes,
        policy: Policy,
        delays: Delays,
        like: Workload | None = None,
    ) -> tuple[pa.Table, dict[str, int]]:
        """Return the jobs table of a workload, and the slots of nodes by their names.

        One without jobs may be simulated `like` another one, which decides what is compiled.
        """
        if not self._levers:
            slots = {node_name(number): nodes.slots for number in range(1, nodes.count + 1)}
            return jobs_table(workload, simulate(workload.table, nodes, policy, delays)), slots
        from campaign.simulation.site_simulate import simulate_site

        topology = self._topology(nodes)
        jobs = self._site_jobs(like or workload, topology, policy, delays)
        if like is not None:
            jobs = jobs.none
        found = simulate_site(workload, topology, policy, delays, jobs=jobs)
        slots = {node.name: node.slots for node in topology.compute}
        ended = {"ended_well": found.ended_well, "gave_way": found.gave_way}
        people = {"follows": found.follows, "came": found.came}
        return jobs_table(workload, found.schedule, ran=found.ran, **ended, **people), slots

    def explained(self, trial: Trial) -> "SiteSchedule":
        """Return the schedule of a trial, with why its jobs waited.

        Raises ConfigError where its policy decides without a clock: whatever waits there waits for
        room.
        """
        from campaign.simulation.site_simulate import simulate_site

        scheduler = self._space.scheduler(trial.point)
        policy = self.policy(scheduler, self._space.params(trial.point))
        if policy.levers is None or policy.loop is None:
            ideal = self._campaign.testbed.policy
            raise ConfigError(
                f"why jobs wait is told of simulated Slurm alone, not of "
                f"{scheduler if ideal == 'scheduler' else f'the ideal policy {ideal}'}",
                resolution="Name a trial of a campaign with scheduler=slurm, "
                "testbed.policy=scheduler.",
            )
        topology = self._topology(self._nodes(trial))
        workload = self._workloads[trial.instance]
        return simulate_site(workload, topology, policy, self._delays, reasons=True)

    def _nodes(self, trial: Trial) -> Nodes:
        return Nodes(self._space.nodes(trial.point), self._campaign.cluster.node_slots)

    @property
    def _delays(self) -> Delays:
        settings = self._campaign.testbed
        return Delays(**{field.name: getattr(settings, field.name) for field in fields(Delays)})

    def _site_jobs(
        self, workload: Workload, topology: Topology, policy: Policy, delays: Delays
    ) -> "SiteJobs":
        """Return the workload's jobs on a cluster, which many trials have alike."""
        from campaign.simulation.site_simulate import site_jobs

        memory = policy.levers and policy.levers.memory
        limits = (policy.limit_unit_s, policy.grace_s, delays.overrun_s)
        key = (workload.hash, len(topology.compute), memory, limits)
        found = self._jobs.get(key)
        if found is None:
            if len(self._jobs) >= KEPT:
                self._jobs.clear()
            found = self._jobs[key] = site_jobs(workload, topology, policy, delays)
        return found

    def _topology(self, nodes: Nodes) -> Topology:
        if nodes.count not in self._topologies:
            self._topologies[nodes.count] = self._new_topology(nodes)
        return self._topologies[nodes.count]

    def _new_topology(self, nodes: Nodes) -> Topology:
        cluster = self._campaign.cluster
        model = model_of(cluster, nodes.count)
        for workload in self._workloads:
            _, model = known_to(model, workload, self._levers, refuse=False)
        return topology_of("simulated", nodes.count, cluster, cluster.memory_mib, model)

    def _provenance(self, scheduler: str, delays: Delays, workload: Workload) -> Provenance:
        return replace(
            software(),
            testbed="simulation",
            scheduler=scheduler,
            simulated_policy=self._campaign.testbed.policy,
            simulated_delays=", ".join(
                f"{name}={value:g}" for name, value in asdict(delays).items()
            ),
            workload=workload.name,
            workload_hash=workload.hash,
        )
