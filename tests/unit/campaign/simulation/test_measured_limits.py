"""Limits hold those jobs back that the real Slurm held back for them, and no others.

The log of two trials says, in its order, which jobs began (and where) and ended, which ones
accounts or qualities of service held back, and which ones backfill planned nodes for.
"""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from campaign.simulation.limits import NO_NODES, blocked_by, hold, limits_of, release
from campaign.simulation.people import Sizes, ownership, people_of
from campaign.testbeds.preflight import cluster_model
from tests.unit.campaign.simulation.measured import FOLDER, Measured, measured

SLOTS = 4
"""Of each node."""
NOWHERE = np.zeros(0, np.int64)


def limits(trial: Measured, nodes: int):
    """The limits of the trial's jobs, and each job's row there."""
    composed = trial.composed("virtual-time")
    workload = trial.workload(composed)
    model = cluster_model(composed.campaign, nodes, workload)
    width = workload.table["width"].to_numpy().astype(np.int64)
    none = np.zeros_like(width)
    minutes = np.ceil(workload.table["requested_s"].to_numpy() / 60).astype(np.int64)
    people = people_of(model)
    found = limits_of(
        model,
        people,
        ownership(people, model, workload),
        Sizes(width, -(-width // SLOTS), minutes, none, none),
        nodes,
    )
    return found, {job: row for row, job in enumerate(workload.table["job_id"].to_pylist())}


@pytest.mark.parametrize("name", measured("held.parquet"))
def test_jobs_are_held_back_where_slurm_held_them_back(name: str) -> None:
    log = pq.read_table(FOLDER / name / "held.parquet").to_pylist()
    found, rows = limits(Measured(FOLDER / name), nodes=8)
    on = {}
    for line in log:
        row = rows[line["job_id"]]
        nodes = np.array(line["nodes"], np.int64)
        if line["what"] == "ends":
            release(found, row, on[row], 0, on[row].size)
        elif line["what"] == "starts":
            assert not blocked_by(found, row, nodes, 0, nodes.size)
            hold(found, row, nodes, 0, nodes.size)
            on[row] = nodes
        else:
            held = blocked_by(found, row, NOWHERE, 0, NO_NODES) > 0
            assert held == (line["what"] == "held"), line
    told = Counter(line["what"] for line in log)
    assert told["held"] > 100
    assert told["planned"] > 10
