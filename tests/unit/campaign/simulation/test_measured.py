"""Jobs begin in the simulation when they began under the real Slurm, whatever lever is pulled."""

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.campaign.simulation.measured import FOLDER, Measured, measured

# Compiling, where nothing is compiled yet, is most of it.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("levers")]
PERIOD_S = 60.0
"""How often the main scheduler looks at the whole queue."""
SHARE = 0.95
"""Of so many jobs the start is foretold within the period."""
FEWER = {"qos": 0.85, "limits": 0.84}
"""Where it is fewer: a backfill run comes within a second of a job's end, on the other side of it,
and all that follows differs (docs/simulation.md). test_decisions.py has what is decided from the
same state."""


def starts(jobs: pa.Table) -> np.ndarray:
    """In seconds; NaN where a job never began."""
    return np.asarray(jobs.column("start_ns").to_numpy(), np.float64) / 1e9


@pytest.mark.parametrize("name", measured())
def test_jobs_begin_when_they_began_under_the_real_slurm(name: str) -> None:
    trial = Measured(FOLDER / name)
    real = starts(trial.jobs())
    simulated = starts(trial.simulated())
    assert len(real) == len(simulated) >= 100
    never = np.isnan(real) & np.isnan(simulated)
    alike = never | (np.abs(real - simulated) <= PERIOD_S)
    assert alike.mean() >= FEWER.get(name, SHARE)
