"""A million jobs are simulated, and memory grows no faster than their number."""

import json
import subprocess
import sys

SCRIPT = """
import json
from pathlib import Path
import numpy as np
import pyarrow as pa
from campaign.simulation.engine import Nodes, simulate
from schedulers.policy import Policy

def memory():
    # The most that was resident (KiB); getrusage would count what the parent process had when it
    # started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

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


def test_a_million_jobs_share_the_cluster_in_memory_that_grows_as_their_number() -> None:
    """Under EASY, in another process, whose memory nothing else uses."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert (found["jobs"], found["most_slots"]) == (1_000_000, 256)
    assert found["waited"] > 0.2 and found["overtook"] > 0.05
    assert 0 < found["large_kib"] < 4 * 1.25 * found["small_kib"]
