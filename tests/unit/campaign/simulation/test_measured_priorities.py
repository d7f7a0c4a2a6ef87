"""Priorities are those that the real Slurm logged where jobs begin and end as they did there."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from campaign.core.cluster import ClusterModel, NodeGroup
from campaign.simulation.fair_share import count_use, shares_of, use_since
from campaign.simulation.multifactor import enter, factors_of, leave, recalculate
from campaign.simulation.people import Sizes, ownership, people_of
from campaign.testbeds.preflight import cluster_model
from tests.unit.campaign.simulation.measured import FOLDER, Measured, measured

NS = 1_000_000_000
PERIOD_S = 60
RECALCULATED_S = 1
"""When priorities were first counted anew, on the clock of the kept seconds."""
APART = {"classic": 1}
"""Of priorities up to 100,000: seconds of use make them, and what happened first within one of them
isn't known."""
ADMINISTRATOR = 1
"""The association of who ran the smoke test, for a second on a slot of each node, before all
else."""
RECALCULATES, ENDS, IS_SUBMITTED, IS_LOGGED, BEGINS = range(5)
"""What happens, in the order in which it is counted within one second."""


class Replay:
    """What counts for priorities, as a measured trial has it."""

    def __init__(self, trial: Measured) -> None:
        composed = trial.composed("virtual-time")
        workload = trial.workload(composed)
        nodes = composed.space.node_counts()[0]
        slots = composed.campaign.cluster.slots_per_node
        model = with_groups(cluster_model(composed.campaign, nodes, workload), nodes, slots)
        [scheduler] = composed.schedulers.values()
        params = scheduler.Params(**composed.space.params(composed.baseline.point))
        wanted = scheduler.policy(params).multifactor
        people = people_of(model)
        jobs = trial.jobs()
        self.numbers = {number: row for row, number in enumerate(jobs["job_id"].to_pylist())}
        self.state = (
            factors_of(
                wanted,
                model,
                people,
                ownership(people, model, workload),
                sizes(workload.table, jobs),
                jobs["submitted_s"].to_numpy().astype(np.int64) * NS,
            ),
            *shares_of(people, wanted.fair_share),
        )
        tree, rules = self.state[1:]
        count_use(tree, ADMINISTRATOR, nodes * use_since(tree, rules, 0, 1))
        self.begun = np.full(jobs.num_rows, -1, np.int64)
        self.active: list[int] = []

    def happens(self, kind: int, row: int, now: int) -> None:
        if kind == RECALCULATES:
            active = np.array(self.active, np.int64)
            recalculate(*self.state, active, active.size, self.begun, now)
        elif kind == IS_SUBMITTED:
            self.active.append(row)
            enter(*self.state, row, now)
        elif kind == BEGINS:
            self.begun[row] = now
        else:
            leave(*self.state, row, self.begun, now)
            self.active.remove(row)

    def priority(self, number: int) -> int:
        return int(self.state[0].priority[self.numbers[number]])


def with_groups(model: ClusterModel, nodes: int, slots: int) -> ClusterModel:
    """The model with its nodes as a group, where they are all alike."""
    return model if model.groups else replace(model, groups=(NodeGroup("all", nodes, slots),))


def sizes(workload: pa.Table, jobs: pa.Table) -> Sizes:
    nothing = np.zeros(jobs.num_rows, np.int64)
    minutes = np.ceil(workload["requested_s"].to_numpy() / 60).astype(np.int64)
    slots = workload["width"].to_numpy().astype(np.int64)
    return Sizes(slots, jobs["nodes"].to_numpy().astype(np.int64), minutes, nothing, nothing)


def events(jobs: pa.Table, logged: pa.Table):
    """All that happens, in order: when (s), what, and to which job or row of the log."""
    last = max(jobs["ended_s"].to_pylist())
    found = [(at, RECALCULATES, -1) for at in range(RECALCULATED_S, last + PERIOD_S, PERIOD_S)]
    kinds = (IS_SUBMITTED, "submitted_s"), (BEGINS, "began_s"), (ENDS, "ended_s")
    for kind, column in kinds:
        found += [(at, kind, row) for row, at in enumerate(jobs[column].to_pylist())]
    found += [(at, IS_LOGGED, row) for row, at in enumerate(logged["at_s"].to_pylist())]
    return sorted(found)


@pytest.mark.parametrize("name", measured("priorities.parquet"))
def test_priorities_are_those_that_slurm_logged(name: str) -> None:
    trial = Measured(FOLDER / name)
    logged = trial.priorities()
    said = logged.to_pylist()
    assert len(said) >= 100
    replay = Replay(trial)
    for at, kind, row in events(trial.jobs(), logged):
        if kind == IS_LOGGED:
            number = said[row]["job_id"]
            off = abs(replay.priority(number) - said[row]["priority"])
            assert off <= APART.get(name, 0), (at, number)
        else:
            replay.happens(kind, row, at * NS)
