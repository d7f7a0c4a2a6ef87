"""Trials of the real Slurm in virtual time, one for each lever of a cluster's model.

Each folder of `measured` has the jobs (`workload.parquet`), when they began (`jobs.parquet`, with
whole seconds of Slurm's own log beside the wrapper's), the priorities that Slurm logged, if it had
any (`priorities.parquet`), and the settings by which the simulation gets the same point.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config.compose import Composed, compose
from campaign.core.jobs import Workload
from campaign.core.trials import Trial
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.preflight import workload_for

FOLDER = Path(__file__).with_name("measured")


@dataclass(frozen=True)
class Measured:
    """A trial."""

    folder: Path

    def jobs(self) -> pa.Table:
        """By number."""
        return pq.read_table(self.folder / "jobs.parquet").sort_by("job_id")

    def priorities(self) -> pa.Table:
        return pq.read_table(self.folder / "priorities.parquet")

    def composed(self, testbed: str) -> Composed:
        settings = (self.folder / "settings.txt").read_text().splitlines()
        if testbed != "simulation":
            settings = [one for one in settings if not one.startswith("testbed.")]
        jobs = f"workload.path={self.folder / 'workload.parquet'}"
        return compose([f"testbed={testbed}", *settings, jobs])

    def workload(self, composed: Composed) -> Workload:
        return workload_for(composed.campaign, composed.schedulers, composed.space)

    def simulated(self) -> pa.Table:
        """The jobs table of the same point, by number."""
        composed = self.composed("simulation")
        parts = (composed.campaign, composed.schedulers, composed.space)
        testbed = SimulationTestbed(*parts, self.workload(composed))
        evaluation = testbed.evaluate(Trial(number=0, point=dict(composed.baseline.point)))
        assert evaluation.jobs is not None, evaluation.reason
        return evaluation.jobs.sort_by("job_id")


def measured(having: str = "jobs.parquet") -> list[str]:
    """The names of the trials that have such a file."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{having}"))
