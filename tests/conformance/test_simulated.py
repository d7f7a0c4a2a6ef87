"""What a simulation under each adapter brings home is what the adapter promises."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from campaign.core.jobs import Workload
from campaign.simulation.engine import Delays, Nodes, simulate
from campaign.simulation.table import jobs_table
from schedulers.conformance import (
    FATES,
    OUTCOMES,
    SLOTS,
    Broken,
    accounts_agree,
    every_job_is_one_row,
    fates,
    fates_show_as_such,
    jobs_have_accounts,
    jobs_have_all_their_nodes_at_once,
    rehearsal,
    topology,
)
from schedulers.registry import adapter, names

CLUSTER = topology(3)


def measured(name: str) -> pa.Table:
    """The rehearsal's jobs, simulated under a scheduler's defaults."""
    scheduler = adapter(name)
    workload = Workload("rehearsal", rehearsal(scheduler, CLUSTER))
    schedule = simulate(
        workload.table,
        Nodes(len(CLUSTER.compute), SLOTS),
        scheduler.policy(scheduler.Params()),
        Delays(launch_s=0.5),
    )
    return jobs_table(workload, schedule)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.__name__)
@pytest.mark.parametrize("name", names())
def test_it_is_kept(name: str, outcome: Callable[..., None]) -> None:
    outcome(adapter(name), CLUSTER, measured(name))


def accounted(jobs: pa.Table) -> pa.Table:
    """The jobs, with accounts as a scheduler would keep them."""
    rows = [
        row
        | {
            "native_id": str(row["job_id"]),
            "native_start_s": row["start_ns"] // 10**9,
            "native_end_s": row["end_ns"] // 10**9,
        }
        for row in jobs.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=jobs.schema)


@pytest.mark.parametrize(
    ("change", "outcome", "said"),
    [
        ({"job_id": 2}, every_job_is_one_row, "missing"),
        ({"exit_code": 1}, every_job_is_one_row, "didn't end well"),
        ({"nodes": ["n1", "n1"]}, jobs_have_all_their_nodes_at_once, "not on"),
        ({"all_started_ns": 10**12}, jobs_have_all_their_nodes_at_once, "in pieces"),
        ({"start_ns": 0, "end_ns": 10**12}, jobs_have_all_their_nodes_at_once, "slots are in use"),
        ({"native_id": None}, jobs_have_accounts, "native ids"),
        ({"native_id": "2"}, jobs_have_accounts, "native ids"),
        ({"native_start_s": None}, accounts_agree, "has no native_start_s"),
        ({"native_end_s": 99.0}, accounts_agree, "s off"),
    ],
)
def test_what_is_broken_is_found_out(
    change: dict[str, object], outcome: Callable[..., None], said: str
) -> None:
    slurm = adapter("slurm")
    jobs = accounted(measured("slurm"))
    outcome(slurm, CLUSTER, jobs)
    first, *others = jobs.to_pylist()
    with pytest.raises(Broken, match=said):
        outcome(slurm, CLUSTER, pa.Table.from_pylist([first | change, *others], schema=jobs.schema))


def test_how_jobs_ended_is_compared_with_how_they_were_to_end() -> None:
    slurm = adapter("slurm")
    states = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED by 0")
    rows = [
        row | {"native_state": state}
        for row, state in zip(fates().to_pylist(), states, strict=True)
    ]
    jobs = pa.Table.from_pylist(rows)
    fates_show_as_such(slurm, FATES, jobs)
    for expected in ({**FATES, 3: "node_lost"}, {**FATES, 5: "completed"}):
        with pytest.raises(Broken, match="jobs ended as"):
            fates_show_as_such(slurm, expected, jobs)
    with pytest.raises(Broken, match="not known"):
        fates_show_as_such(
            slurm, FATES, pa.Table.from_pylist([{**rows[0], "native_state": None}, *rows[1:]])
        )
