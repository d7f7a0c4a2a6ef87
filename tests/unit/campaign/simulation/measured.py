"""Trials of the real Slurm in virtual time, one for each lever of a cluster's model.

Each folder of `measured` has the jobs (`workload.parquet`), when they came, began and ended
(`jobs.parquet`, with whole seconds of Slurm's own log beside the wrapper's), the priorities that
Slurm logged, if it had any (`priorities.parquet`), and the settings by which the simulation gets
the same point.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config.compose import Composed, compose
from campaign.core.jobs import Workload
from campaign.core.trials import Trial
from campaign.simulation.engine import NS
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.preflight import workload_for

FOLDER = Path(__file__).with_name("measured")
MACHINE = (
    *("testbed.launch_s=0.06", "testbed.release_s=0.02", "testbed.cycle_offset_s=0.003"),
    "testbed.kernel_s=0.004",
)
"""What the guests took: of the record of `plain` and of its log, for all trials alike. What a job
that backfilling looked at took (`plan_s`) is the mean of each trial's own log, as its clock is."""
ANSWER_S = 0.015
"""A job has come so long before its submission is answered."""


@dataclass(frozen=True)
class Measured:
    """A trial."""

    folder: Path

    def jobs(self) -> pa.Table:
        """By number."""
        return pq.read_table(self.folder / "jobs.parquet").sort_by("job_id")

    def priorities(self) -> pa.Table:
        return pq.read_table(self.folder / "priorities.parquet")

    def composed(self, testbed: str, *more: str) -> Composed:
        settings = (self.folder / "settings.txt").read_text().splitlines()
        if testbed != "simulation":
            settings = [one for one in settings if not one.startswith("testbed.")]
        jobs = f"workload.path={self.folder / 'workload.parquet'}"
        return compose([f"testbed={testbed}", *settings, jobs, *more])

    def workload(self, composed: Composed) -> Workload:
        return workload_for(composed.campaign, composed.schedulers, composed.space)

    def replayed(self, workload: Workload) -> Workload:
        """The workload as it was replayed: agents submit up to 0.1 s late, and jobs sleep as much
        longer than they should. Jobs that were cut short would have run as long as they wanted."""
        jobs = self.jobs()
        ran = (jobs["end_ns"].to_numpy() - jobs["start_ns"].to_numpy()) / NS
        wanted = workload.table["runtime_s"].to_numpy()
        ran = np.where((ran > wanted) & (ran < wanted + 1), ran, wanted + 0.05)
        table = workload.table
        for name, values in (
            ("arrival_s", jobs["accepted_ns"].to_numpy() / NS - ANSWER_S),
            ("runtime_s", ran),
        ):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(name), pa.array(values))
        return replace(workload, table=table)

    def simulated(self) -> pa.Table:
        """The jobs table of the same point and the same jobs, by number."""
        composed = self.composed("simulation", *MACHINE)
        parts = (composed.campaign, composed.schedulers, composed.space)
        testbed = SimulationTestbed(*parts, self.replayed(self.workload(composed)))
        evaluation = testbed.evaluate(Trial(number=0, point=dict(composed.baseline.point)))
        assert evaluation.jobs is not None, evaluation.reason
        return evaluation.jobs.sort_by("job_id")


def measured(having: str = "jobs.parquet") -> list[str]:
    """The names of the trials that have such a file."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{having}"))
