"""Plausible trials and jobs tables, made by a small first-come-first-served replay instead of
VMs."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Check, Point, TrialRecord

SECOND = 1_000_000_000
OBJECTIVES = {"awrt_s": "minimize", "node_hours": "minimize"}
PROVENANCE = {
    "image_hash": "9f2c1e77ab0d4c5e",
    "scheduler": "slurm",
    "scheduler_version": "24.11.5",
    "acceleration": "tcg",
    "kernel": "6.12.48+deb13-cloud-amd64",
    "qemu": "7.2.17",
    "libvirt": "9.0.0",
    "git_commit": "4f1c0de",
}
HASHES = ("9f2c1e77ab0d4c5e", "51b0aa93c6d8f024")
GOLDEN_KEY = "c0ffee" + 58 * "0"
COLD = 7  # the trial whose golden cluster couldn't be used
BETWEEN_S = 1.5  # between the trials of a campaign


@dataclass(frozen=True)
class Sample:
    """A trial and the jobs that it ran."""

    record: TrialRecord
    jobs: pa.Table


def jobs_table(
    nodes: int = 2, jobs: int = 30, slots_per_node: int = 4, seed: int = 7, delay_s: float = 0.3
) -> pa.Table:
    """Replay seeded jobs first come, first served on `nodes` nodes; `delay_s` is the scheduler's
    own latency."""
    draw = random.Random(seed)
    free = [[0.0] * slots_per_node for _ in range(nodes)]
    rows = []
    arrival = 0.0
    for job in range(jobs):
        width = min(draw.choice([1, 1, 1, 2, 2, 4, 6]), nodes * slots_per_node)
        runtime = round(draw.lognormvariate(0.6, 0.7), 3)
        rows.append(_place(free, job, arrival, width, runtime, delay_s))
        arrival += draw.expovariate(1.6)
    return pa.Table.from_pylist(rows, schema=JOBS_SCHEMA)


def _place(
    free: list[list[float]], job: int, arrival: float, width: int, runtime: float, delay: float
) -> dict:
    """Start a job on as few nodes as hold it, evenly, where that is soonest."""
    count = -(-width // len(free[0]))
    shares = [width // count + (index < width % count) for index in range(count)]
    soonest = sorted(range(len(free)), key=lambda node: sorted(free[node])[shares[0] - 1])
    used = sorted(soonest[:count])
    slots = [
        slot
        for node, share in zip(used, shares, strict=True)
        for slot in _free_slots(free, node, share)
    ]
    start = max(arrival + delay, max(free[node][slot] for node, slot in slots) + delay / 2)
    for node, slot in slots:
        free[node][slot] = start + runtime
    return {
        "job_id": job,
        "arrival_s": arrival,
        "width": width,
        "runtime_s": runtime,
        "requested_s": runtime * 2,
        "user": job % 3,
        "nodes_requested": len(used),
        "nodes": [f"n{node + 1}" for node in used],
        "intended_ns": int(arrival * SECOND),
        "submit_ns": int((arrival + 0.01) * SECOND),
        "accepted_ns": int((arrival + 0.05) * SECOND),
        "start_ns": int(start * SECOND),
        "all_started_ns": int((start + 0.01) * SECOND),
        "end_ns": int((start + runtime) * SECOND),
        "exit_code": 0,
        "native_id": str(100 + job),
        "native_state": "COMPLETED",
        "native_start_s": float(int(start)),
        "native_end_s": float(int(start + runtime)),
    }


def _free_slots(free: list[list[float]], node: int, share: int) -> list[tuple[int, int]]:
    return [
        (node, slot)
        for slot in sorted(range(len(free[node])), key=lambda slot: free[node][slot])[:share]
    ]


def phases_of(number: int, makespan: float) -> dict[str, float]:
    """Phase clocks: trial 0 made the golden cluster, COLD couldn't be restored, the others were."""
    before = {0: {"golden": 52.0}, COLD: {"fallback": 2.5}}.get(number, {})
    getting = {
        "placed": 0.1,
        "started": 0.9 + number % 3 / 10,
        "reachable": 1.4 + number % 5 / 10,
        "ready": 3.5,
    }
    booting = {"placed": 0.1, "started": 1.2, "reachable": 24.0, "ready": 5.5}
    running = {"first_job": 0.9, "workload": makespan - 0.9, "collected": 2.1, "torn_down": 0.8}
    return {**before, **(booting if number == COLD else getting), **running}


def origin_of(number: int) -> dict[str, str]:
    """The provenance that goes with those clocks."""
    if number == COLD:
        return {
            "start": "cold",
            "cold_because": "golden cluster file n1.ram was altered\nat byte 4096",
        }
    return {"start": "golden", "golden_key": GOLDEN_KEY}


def record_of(number: int, point: Point, jobs: pa.Table, **changes: object) -> TrialRecord:
    """A judged trial of `jobs`, with metrics computed from them; `changes` replace fields."""
    rows = jobs.to_pylist()
    nodes = int(point.get("cluster.nodes", 2))
    makespan = max(row["end_ns"] for row in rows) / SECOND
    area = [row["width"] * row["runtime_s"] for row in rows]
    response = [(row["end_ns"] - row["submit_ns"]) / SECOND for row in rows]
    phases = phases_of(number, makespan)
    started = 1_780_000_000.0 + 90 * number
    wall = sum(phases.values())
    fields = {
        "number": number,
        "point": point,
        "attempt": 1,
        "outcome": "ok",
        "host": "local",
        "metrics": {
            "awrt_s": sum(a * r for a, r in zip(area, response, strict=True)) / sum(area),
            "makespan_s": makespan,
            "node_hours": nodes * makespan / 3600,
            "node_hours_provisioned": (nodes + 1) * (wall - phases.get("golden", 0.0)) / 3600,
            "utilisation": sum(area) / (nodes * 4 * makespan),
        },
        "phases": phases,
        "provenance": {**PROVENANCE, **origin_of(number), "image_hash": HASHES[number % 4 == 3]},
        "checks": (
            Check(name="clock_error", value=0.004, limit=0.25, unit="s", ok=True),
            Check(name="steal", value=0.03, limit=0.1, unit="fraction", ok=True),
        ),
        "started": started,
        "ended": started + wall,
    }
    return TrialRecord(**{**fields, **changes})


def sample(number: int, *, jobs: int = 30, **changes: object) -> Sample:
    """Trial `number` of the sample campaign: another cluster size and other Slurm parameters
    each."""
    nodes = 1 + number % 4
    interval = (1, 5, 30, 60)[number // 4 % 4]
    point: Point = {
        "cluster.nodes": nodes,
        "scheduler.params.bf_interval": interval,
        "scheduler.params.SchedulerType": "sched/backfill" if number % 3 else "sched/builtin",
        "scheduler.params.defer": number % 2 == 1,
    }
    table = jobs_table(nodes, jobs, delay_s=0.2 + interval / 40)
    return Sample(record_of(number, changes.pop("point", point), table, **changes), table)


def campaign_samples(count: int = 12) -> list[Sample]:
    """A campaign's worth of trials, among them an invalid one and one that the platform spoilt."""
    made = [sample(number) for number in range(count)]
    if count > 5:
        bad = Check(name="steal", value=0.31, limit=0.1, unit="fraction", ok=False)
        made[3] = sample(
            3, outcome="invalid", reason="steal 0.31 fraction, above the limit 0.1", checks=(bad,)
        )
        made[5] = sample(
            5,
            outcome="infrastructure_failed",
            reason="node n2: kernel panic",
            metrics={},
            attempt=2,
        )
    return list(_one_after_the_other(made))


def _one_after_the_other(samples: list[Sample]) -> Iterator[Sample]:
    """The trials at the times at which a driver with two hosts, but one trial at a time, would have
    run them."""
    now = samples[0].record.started if samples else 0.0
    for one in samples:
        wall = one.record.ended - one.record.started
        host = "far" if one.record.number % 3 == 2 else one.record.host
        changes = {"started": now, "ended": now + wall, "host": host}
        yield Sample(one.record.model_copy(update=changes), one.jobs)
        now += wall + BETWEEN_S
