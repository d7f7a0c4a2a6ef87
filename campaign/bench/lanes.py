"""Measure from which cost on simulated trials are worth other cores: threads here, tasks of a Ray.

Trials of one size after the other are evaluated in turn one by one, on threads, and as Ray tasks on
as many CPUs, so that all ways meet the same disturbances of the host. CPU time is that of this
process and of all that it started, Ray's daemons and workers too: other programs of the host, which
take cores away, hardly change it.
"""

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from actors.hosts import ray_session
from campaign.bench.lanes_table import LaneFigures, TrialTimes, as_json, as_text
from campaign.bench.results import BenchmarkResults
from campaign.config.compose import Composed, compose
from campaign.core.errors import BenchmarkError
from campaign.core.testbed import Testbed
from campaign.core.trials import Point, Trial
from campaign.simulation.lanes import on_threads
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.preflight import workload_for
from campaign.testbeds.simulated_on_ray import on_joined_ray

SETTINGS = (
    *("testbed=simulation", "search.holdout=0", "cluster.nodes=64", "cluster.slots_per_node=1"),
    *("workload=lublin", "workload.load=0.9"),
)
JOBS = (50, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600)
"""Trials of so many jobs cost from about a millisecond to about a second."""
ROUND_S = 0.7
"""One way takes about so long in each round."""
FEWEST = 8
MOST = 300
Ways = Mapping[str, Testbed]


def run(overrides: Sequence[str], folder: Path, rounds: int) -> BenchmarkResults:
    """Measure in so many rounds; nothing is left in `folder` but the results."""
    cores = len(os.sched_getaffinity(0))
    ray_session.prepare(None)
    ray_session.start(None, cpus=cores)
    try:
        figures = [_measured(jobs, overrides, cores, rounds) for jobs in JOBS]
    finally:
        ray_session.stop()
    table = as_text(figures)
    return BenchmarkResults.of(table, lanes_txt=table, lanes_json=as_json(figures))


def _measured(jobs: int, overrides: Sequence[str], cores: int, rounds: int) -> LaneFigures:
    composed = compose([*SETTINGS, *overrides, f"workload.jobs={jobs}"])
    with ExitStack() as stack:
        ways = _ways(stack, composed, cores)
        one = dict(composed.baseline.point)
        here = _times(ways["here"], one, FEWEST).cpu_ms
        count = round(min(max(1000 * ROUND_S / here, FEWEST), MOST))
        found: dict[str, list[TrialTimes]] = {name: [] for name in ways}
        for testbed in ways.values():  # Ray starts its workers with their first tasks
            _times(testbed, one, 2 * cores)
        for _ in range(rounds):
            for name, testbed in ways.items():
                found[name].append(_times(testbed, one, count))
    return LaneFigures(jobs, count, cores, {name: tuple(each) for name, each in found.items()})


def _ways(stack: ExitStack, composed: Composed, cores: int) -> Ways:
    parts = (composed.campaign, composed.schedulers, composed.space)
    testbed = SimulationTestbed(*parts, workload_for(*parts))
    testbed.warm_up()
    threads = on_threads(testbed.evaluate, cores)
    stack.callback(threads.close)
    # Whatever a trial costs: that is what is asked here.
    return {"here": testbed, "threads": threads, "ray": on_joined_ray(testbed, cores, worth_s=0.0)}


def _times(testbed: Testbed, point: Point, count: int) -> TrialTimes:
    """Return what each of so many trials took, as many at once as the testbed takes."""
    left = [Trial(number=number, point=point) for number in range(count)]
    ended = 0
    begun = time.perf_counter()
    own = time.process_time()
    others = _cpu_s_of_children()
    while ended < count:
        while left and testbed.room() > 0:
            testbed.start(left.pop())
        for _, evaluation in testbed.wait(1.0):
            if evaluation.outcome != "ok":
                raise BenchmarkError(f"a trial was {evaluation.outcome}", evaluation.reason)
            ended += 1
    own = time.process_time() - own
    whole = own + _cpu_s_of_children() - others
    return TrialTimes(*(1000 * each / count for each in (time.perf_counter() - begun, whole, own)))


def _cpu_s_of_children() -> float:
    seconds = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            seconds += times.user + times.system
    return seconds
