"""Simulated trials on all cores of a Ray that runs already: a task for each trial."""

import logging
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

from campaign.core.errors import InfrastructureError
from campaign.core.trials import Evaluation, Trial
from campaign.core.version import source_digest
from campaign.simulation.lanes import Lanes
from campaign.simulation.testbed import SimulationTestbed

_log = logging.getLogger(__name__)

WORTH_S = 0.013
"""The seconds from which a trial is handed out as a task: measured by `hpc-campaign bench lanes`
(docs/benchmark.md), as the least cost at which tasks on two CPUs are faster than this process."""


def on_ray(stack: ExitStack, testbed: SimulationTestbed, address: str, most: int) -> Lanes:
    """Return lanes on the Ray at `address`, one for each of its CPUs, `most` at most.

    Leaving `stack` leaves that Ray. Raises ConfigError or InfrastructureError if it can't be
    joined.
    """
    from actors.hosts import ray_session

    # Before anything imports Ray: it reads its environment when it is imported.
    ray_session.prepare(address)
    ray_session.start(address)
    stack.callback(ray_session.stop)
    lanes = on_joined_ray(testbed, most)
    _log.info("trials run on %d CPUs of the Ray at %s", lanes.room(), address)
    return lanes


def on_joined_ray(testbed: SimulationTestbed, most: int, worth_s: float = WORTH_S) -> Lanes:
    """Return lanes on the Ray that this process has joined or started.

    A trial that takes less than `worth_s` stays here. Raises InfrastructureError where no CPU is
    for tasks.
    """
    import ray

    task: Any = ray.remote(num_cpus=1, max_retries=3, scheduling_strategy="SPREAD")(_evaluate)
    shared = ray.put(testbed)
    sources = source_digest()

    def hand_out(trial: Trial) -> "Future[Evaluation]":
        future: Future[Evaluation] = task.remote(shared, sources, trial).future()
        return future

    def close(futures: Collection["Future[Evaluation]"]) -> None:
        """Do nothing: Ray ends the tasks of a driver that leaves."""

    count = min(most, int(ray.cluster_resources().get("CPU", 0)))
    if count < 1:
        raise InfrastructureError(
            "testbed.ray_address: that Ray has no CPU for tasks",
            resolution="Start its nodes with --num-cpus, or leave testbed.ray_address out.",
        )
    return Lanes(testbed.evaluate, hand_out, count, worth_s=worth_s, close=close)


def _evaluate(testbed: SimulationTestbed, sources: str, trial: Trial) -> Evaluation:
    if source_digest() != sources:
        import socket

        return Evaluation(
            "infrastructure_failed",
            f"another version of this software is installed on {socket.gethostname()}, a node of "
            "the Ray that testbed.ray_address names: install the same one there",
            retryable=True,
        )
    return testbed.evaluate(trial)
