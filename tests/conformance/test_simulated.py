"""What a simulation under each adapter brings home is what the adapter promises."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from campaign.analysis.conformance import (
    FINAL_STATES,
    OUTCOMES,
    accounts_agree,
    ending_workload,
    every_job_is_one_row,
    final_states_are_told,
    jobs_have_accounts,
    jobs_have_all_their_nodes_at_once,
    sample_workload,
    schedules_are_valid,
)
from campaign.analysis.validity import check_accounts, valid
from campaign.core.jobs import Workload
from campaign.schema.model import ValiditySettings
from campaign.simulation.engine import Delays, Nodes, simulate
from campaign.simulation.table import jobs_table
from schedulers.broken import Broken
from schedulers.registry import adapter, names
from schedulers.samples import SLOTS, topology
from tests.adapters import bound

CLUSTER = topology(3)


def measured(name: str) -> pa.Table:
    """The sample workload's jobs, simulated under a scheduler's defaults."""
    scheduler = adapter(name)
    workload = Workload("sample", sample_workload(scheduler, CLUSTER))
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
            "native_state": "COMPLETED",
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
        ({"native_start_s": None}, jobs_have_accounts, "has no native_start_s"),
        ({"submit_ns": 10**12}, schedules_are_valid, "times out of order"),
        ({"native_state": None}, accounts_agree, "missing in native accounting"),
        ({"native_start_s": 99.0}, accounts_agree, "gap to native starts"),
        ({"native_end_s": 99.0}, accounts_agree, "gap to native ends"),
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


@pytest.mark.parametrize("late_s", [6.6, 10.9, 11.1, 30.0])
def test_an_account_is_broken_where_the_validity_gate_says_so(late_s: float) -> None:
    """A campaign that allows more is judged by its own limit."""
    slurm = adapter("slurm")
    first, *others = accounted(measured("slurm")).to_pylist()
    first["native_start_s"] = first["start_ns"] / 1e9 - late_s
    jobs = pa.Table.from_pylist([first, *others], schema=measured("slurm").schema)
    checks = check_accounts(
        jobs,
        settings=ValiditySettings(),
        launch_limit=slurm.launch_limit,
        resolution_s=slurm.resolution_s,
    )
    if valid(checks):
        accounts_agree(slurm, CLUSTER, jobs)
    else:
        with pytest.raises(Broken, match="gap to native starts"):
            accounts_agree(slurm, CLUSTER, jobs)
    assert valid(checks) == (late_s < 11)
    accounts_agree(slurm, CLUSTER, jobs, ValiditySettings(max_native_gap_s=60.0))


def test_how_jobs_ended_is_compared_with_how_they_were_to_end() -> None:
    slurm = bound("slurm")
    states = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED by 0")
    rows = [
        row | {"native_state": state}
        for row, state in zip(ending_workload().to_pylist(), states, strict=True)
    ]
    jobs = pa.Table.from_pylist(rows)
    final_states_are_told(slurm, FINAL_STATES, jobs)
    for expected in ({**FINAL_STATES, 3: "node_lost"}, {**FINAL_STATES, 5: "completed"}):
        with pytest.raises(Broken, match="jobs ended as"):
            final_states_are_told(slurm, expected, jobs)
    with pytest.raises(Broken, match="not known"):
        final_states_are_told(
            slurm,
            FINAL_STATES,
            pa.Table.from_pylist([{**rows[0], "native_state": None}, *rows[1:]]),
        )
