"""What a simulation under each adapter brings home is what the adapter promises."""

from collections.abc import Callable

import pytest

from campaign.jobs import Workload
from campaign.simulation.engine import Delays, Nodes, simulate
from campaign.simulation.table import jobs_table
from schedulers.conformance import OUTCOMES, SLOTS, Broken, every_job_is_one_row, rehearsal, topology
from schedulers.registry import adapter, names

CLUSTER = topology(3)


def measured(name: str):
    """The rehearsal's jobs, simulated under a scheduler's defaults."""
    scheduler = adapter(name)
    workload = Workload("rehearsal", rehearsal(CLUSTER))
    schedule = simulate(
        workload.table, Nodes(len(CLUSTER.compute), SLOTS), scheduler.policy(scheduler.Params()), Delays(launch_s=0.5)
    )
    return jobs_table(workload, schedule)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.__name__)
@pytest.mark.parametrize("name", names())
def test_it_is_kept(name: str, outcome: Callable[..., None]) -> None:
    outcome(adapter(name), CLUSTER, measured(name))


def test_what_is_broken_is_found_out() -> None:
    jobs, slurm = measured("slurm"), adapter("slurm")
    with pytest.raises(Broken, match="missing"):
        every_job_is_one_row(slurm, CLUSTER, jobs.slice(1))
    rows = jobs.to_pylist()
    broken = {
        "didn't end well": {"exit_code": 1},
        "not on": {"nodes": ["n1", "n1"]},
        "in pieces": {"all_started_ns": rows[0]["end_ns"]},
        "s off": {"native_start_s": 99.0},
    }
    for said, change in broken.items():
        table = type(jobs).from_pylist([rows[0] | change, *rows[1:]], schema=jobs.schema)
        with pytest.raises(Broken, match=said):
            for outcome in OUTCOMES:
                outcome(slurm, CLUSTER, table)
    at_once = [row | {"start_ns": 1, "all_started_ns": 1} for row in rows]
    with pytest.raises(Broken, match="slots are in use"):
        OUTCOMES[1](slurm, CLUSTER, type(jobs).from_pylist(at_once, schema=jobs.schema))
