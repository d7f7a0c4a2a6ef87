"""Trials in simulation: nothing is needed or left behind, and a Ray is joined only if named."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from campaign.core import log
from campaign.core.jobs import Workload
from campaign.core.testbed import Testbed
from campaign.records.collected_logs import CollectedLogs
from campaign.schema.model import Campaign
from campaign.simulation.lanes import on_threads
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds import NodeImages
from campaign.testbeds.simulated_on_ray import on_ray
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import Space

_log = logging.getLogger(__name__)


class SimulationBackend:
    """See `campaign.testbeds.Backend`."""

    def __init__(
        self, campaign: Campaign, schedulers: Mapping[str, Scheduler[Params]], space: Space
    ) -> None:
        self._campaign = campaign
        self._schedulers = schedulers
        self._space = space

    def prepare(self, begun_with: Mapping[str, str]) -> NodeImages:
        """Return no images: nothing boots."""
        return NodeImages()

    def check(self) -> None:
        """Do nothing: a simulation fits everywhere."""

    def open(
        self, stack: ExitStack, workloads: Sequence[Workload], logs: CollectedLogs | None = None
    ) -> Testbed:
        """Return a simulated testbed, compiled and ready, on as many cores as trials may use."""
        testbed = SimulationTestbed(self._campaign, self._schedulers, self._space, *workloads)
        _log.info(
            "this is a SIMULATION of %s by discrete events, not a measurement (%s)",
            " and ".join(self._schedulers),
            testbed.policy_name,
        )
        with log.step(_log, "compiling the simulation, where that has not been done here"):
            testbed.warm_up()
        for sentence in testbed.wishes_left_out:
            _log.info("workload: %s", sentence)
        searched = [path for path in self._space.dimensions if path in testbed.never_used]
        if searched:
            _log.info(
                "these searched settings have no effect in this simulation: %s",
                ", ".join(searched),
            )
        settings = self._campaign.testbed
        if settings.ray_address:
            lanes = on_ray(stack, testbed, settings.ray_address, settings.parallel)
        elif settings.parallel > 1:
            lanes = on_threads(testbed.evaluate, settings.parallel)
        else:
            return testbed
        stack.callback(lanes.close)
        return lanes


def main() -> None:
    """Compile what the default campaign runs in simulation, so that no trial has to wait for it."""
    from campaign.config.compose import compose
    from campaign.testbeds.preflight import workload_for

    composed = compose(["testbed=simulation"])
    parts = (composed.campaign, composed.schedulers, composed.space)
    SimulationTestbed(*parts, workload_for(*parts)).warm_up()


if __name__ == "__main__":
    main()
