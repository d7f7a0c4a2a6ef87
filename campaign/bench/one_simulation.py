"""One simulation in a process of its own, which may be another checkout's: what it took, as JSON.

It is run as a file, with that checkout on PYTHONPATH, so it needs only what old ones have too.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def main(request: str) -> None:
    """Print what a request took, from the second call on: the first one compiles.

    It names a file of `jobs` with `nodes`, `slots` and a `policy`, or the settings of a campaign
    whose baseline is evaluated.
    """
    asked = json.loads(request)
    warm, timed = (_trial if "settings" in asked else _schedule)(asked)
    warm()
    before = _peak_mib()
    elapsed = time.perf_counter()
    cpu = time.process_time()
    starts = timed()
    found = {
        "cpu_s": time.process_time() - cpu,
        "elapsed_s": time.perf_counter() - elapsed,
        "peak_mib": _peak_mib(),
        "before_mib": before,
        "starts": hashlib.sha256(starts).hexdigest(),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _schedule(asked: dict[str, Any]) -> tuple[Callable[[], object], Callable[[], bytes]]:
    import pyarrow.parquet as pq

    from campaign.simulation.engine import Nodes, simulate
    from schedulers.policy import Policy
    from schedulers.registry import adapter

    table = pq.read_table(asked["jobs"])
    nodes = Nodes(asked["nodes"], asked["slots"])
    ideal = {"EASY": "first", "conservative": "all"}
    if asked["policy"] in ideal:
        policy = Policy(reserve=ideal[asked["policy"]])  # type: ignore[arg-type]
    else:
        own = adapter(asked["policy"])
        policy = own.policy(own.Params())

    def starts(jobs: int) -> bytes:
        return simulate(table.slice(0, jobs), nodes, policy, places=0).start.tobytes()

    return partial(starts, 10), partial(starts, table.num_rows)


def _trial(asked: dict[str, Any]) -> tuple[Callable[[], object], Callable[[], bytes]]:
    from campaign.config.compose import compose
    from campaign.core.trials import Trial
    from campaign.simulation.testbed import SimulationTestbed
    from campaign.testbeds.preflight import workload_for

    composed = compose(asked["settings"])
    parts = (composed.campaign, composed.schedulers, composed.space)
    testbed = SimulationTestbed(*parts, workload_for(*parts))
    trial = Trial(number=0, point=dict(composed.baseline.point))

    def starts() -> bytes:
        jobs = testbed.evaluate(trial).jobs
        if jobs is None:
            raise SystemExit("the trial has no jobs")
        return bytes(jobs.column("start_ns").combine_chunks().to_numpy(zero_copy_only=False))

    return testbed.warm_up, starts


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    main(sys.argv[1])
