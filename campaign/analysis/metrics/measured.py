"""The inputs of metrics: a trial's finished jobs, its cluster and its phase clocks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.analysis.metrics.classes import ClassedJobs
from campaign.analysis.metrics.shares import promised_shares
from campaign.analysis.metrics.timeline import Timeline, free_since
from campaign.core.jobs import PREEMPTED, Workload
from campaign.core.phases import Phase
from campaign.schema.model import Campaign, CostSettings

if TYPE_CHECKING:
    import pyarrow as pa

Array = NDArray[np.float64]
COLUMNS = [
    *("width", "user", "intended_ns", "submit_ns", "start_ns", "end_ns", "exit_code"),
    "native_state",
]
"""The columns of a jobs table that are measured."""


@dataclass(frozen=True)
class ClusterFacts:
    """The size of the cluster, and its cost.

    `nodes` are compute nodes, `slots` the job slots of all of them together; either is 0 where it
    isn't known. `head_nodes` run no jobs. `cost` gives the cost of a node. `shares` are promised to
    accounts, by their names; only what they are to each other counts.
    """

    nodes: int
    slots: int
    head_nodes: int = 1
    cost: CostSettings = field(default_factory=CostSettings)
    shares: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, campaign: Campaign, nodes: int) -> Self:
        """Return the facts of a campaign's cluster of so many compute nodes."""
        return cls(
            nodes=nodes,
            slots=campaign.cluster.slots(nodes),
            cost=campaign.cost,
            shares=promised_shares(campaign.cluster.accounts),
        )

    @property
    def paid_heads(self) -> int:
        """The head nodes that cost money and draw power."""
        return self.head_nodes if self.cost.head_nodes else 0


@dataclass(frozen=True)
class MetricInputs:
    """The finished jobs of one trial as columns, and its surroundings.

    Times are seconds since the workload's start. `user` is NaN where it isn't known, and `arrival`
    where no time was intended; `lags` are submissions behind their intended times, of all submitted
    jobs; `table` is the whole jobs table. `account` is the place of each job's account among those
    of `cluster.shares`, NaN where it is none of them or isn't known.
    """

    width: Array
    user: Array
    arrival: Array
    submit: Array
    start: Array
    end: Array
    lags: Array
    completed: int
    preempted: int
    unfinished: int
    cluster: ClusterFacts
    phases: Mapping[Phase, float]
    tau_s: float
    table: "pa.Table"
    account: Array

    @cached_property
    def wait(self) -> Array:
        return self.start - self.submit

    @cached_property
    def run(self) -> Array:
        return self.end - self.start

    @cached_property
    def response(self) -> Array:
        return self.end - self.submit

    @cached_property
    def area(self) -> Array:
        return self.width * self.run

    @cached_property
    def bounded_slowdown(self) -> Array:
        return np.maximum(1.0, self.response / np.maximum(self.run, self.tau_s))

    @cached_property
    def makespan(self) -> float:
        return float(self.end.max() - self.submit.min())

    @cached_property
    def timeline(self) -> Timeline:
        return Timeline.of(self.width, self.submit, self.start, self.end)

    @cached_property
    def dispatch_latency(self) -> Array:
        """The seconds from the moment at which a job could have started to its start.

        It could have from its submission on, once enough slots were free without a break.
        """
        since = free_since(self.timeline, self.cluster.slots, self.width, self.start)
        return self.start - np.maximum(since, self.submit)


def measure(
    jobs: "pa.Table",
    cluster: ClusterFacts,
    phases: Mapping[Phase, float],
    tau_s: float,
    workload: Workload | None = None,
) -> MetricInputs:
    """Return the columns from which metrics are computed, of a jobs table with COLUMNS.

    `workload` knows the accounts, by the table's `job_id`.
    """

    def column(name: str) -> Array:
        return np.asarray(jobs.column(name).to_numpy(), dtype=np.float64)  # null becomes NaN

    intended, submit, start, end = (
        column(f"{name}_ns") / 1e9 for name in ("intended", "submit", "start", "end")
    )
    finished = ~(np.isnan(submit) | np.isnan(start) | np.isnan(end))
    lags = submit - intended
    return MetricInputs(
        width=column("width")[finished],
        user=column("user")[finished],
        arrival=intended[finished],
        submit=submit[finished],
        start=start[finished],
        end=end[finished],
        lags=lags[~np.isnan(lags)],
        completed=int((column("exit_code")[finished] == 0).sum()),
        preempted=pc.sum(pc.equal(jobs.column("native_state"), PREEMPTED)).as_py() or 0,
        unfinished=int((~finished).sum()),
        cluster=cluster,
        phases=phases,
        tau_s=tau_s,
        table=jobs,
        account=_accounts(jobs, cluster, workload)[finished],
    )


def _accounts(jobs: "pa.Table", cluster: ClusterFacts, workload: Workload | None) -> Array:
    if workload is None or not cluster.shares:
        return np.full(jobs.num_rows, np.nan)
    import pyarrow as pa
    import pyarrow.compute as pc

    names = ClassedJobs(jobs.select(["job_id"]), workload).column("account").cast(pa.string())
    places = pc.index_in(names, value_set=pa.array(list(cluster.shares), pa.string()))
    return np.asarray(places.to_numpy(zero_copy_only=False), dtype=np.float64)
