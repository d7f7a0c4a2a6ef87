"""A million jobs are simulated, and memory grows no faster than their number."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, sys
import numpy as np
import pyarrow as pa
from campaign.simulation.engine import Nodes, simulate
from schedulers.policy import Policy

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def jobs(count):
    draw = np.random.default_rng(5)
    width, run = 2 ** draw.integers(0, 8, count), draw.integers(10, 1000, count)
    gap = (width * run).mean() / 256 / 0.8
    return pa.table({
        "job_id": np.arange(count),
        "arrival_s": np.cumsum(draw.exponential(gap, count)),
        "width": width.astype(np.int32),
        "runtime_s": run.astype(np.float64),
        "requested_s": run * draw.integers(1, 5, count).astype(np.float64),
        "user": np.zeros(count, np.int32),
    })

def simulated(count):
    table = jobs(count)
    return simulate(table, Nodes(256, 1), Policy("first"), places=0), table, memory()

none, small = simulated(1000)[2], simulated(250_000)[2]
large, table, most = simulated(1_000_000)
start, width = large.decided, table.column("width").to_numpy()
order = np.argsort(np.concatenate([large.freed, start]), kind="stable")
held = np.cumsum(np.concatenate([-width, width])[order])
print(json.dumps({
    "jobs": len(start),
    "small_kib": small - none,
    "large_kib": most - none,
    "most_slots": int(held.max()),
    "waited": float((start > large.accepted).mean()),
    "overtook": float((np.diff(start) < 0).mean()),
}))
"""


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    """What another process, whose memory nothing else uses, found out."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_a_million_jobs_under_easy_share_the_cluster(measured) -> None:
    assert measured["jobs"] == 1_000_000
    assert measured["most_slots"] == 256
    assert measured["waited"] > 0.2 and measured["overtook"] > 0.05


def test_four_times_the_jobs_take_no_more_than_four_times_the_memory(measured) -> None:
    assert 0 < measured["large_kib"] < 4 * 1.25 * measured["small_kib"]
