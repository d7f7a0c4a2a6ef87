"""Trials in simulation: nothing is needed, started or left behind."""

from contextlib import ExitStack

from campaign.config.compose import Composed
from campaign.core.jobs import Workload
from campaign.core.testbed import Testbed
from campaign.records.ledger import Ledger
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds import Say, Software


class Simulated:
    """See `campaign.testbeds.Means`."""

    def __init__(self, composed: Composed) -> None:
        self._composed = composed

    def prepare(self, ledger: Ledger, say: Say) -> Software:
        return Software()

    def check(self) -> None:
        """A simulation fits everywhere."""

    def open(self, stack: ExitStack, workload: Workload, say: Say) -> Testbed:
        campaign = self._composed.campaign
        space = self._composed.space
        testbed = SimulationTestbed(campaign, self._composed.schedulers, space, workload)
        what = (
            f"a SIMULATION of {' and '.join(self._composed.schedulers)} by discrete events, "
            "not a measurement"
        )
        say(f"this is {what} ({testbed.policy_name}); compiling it, if that has not been done here")
        testbed.warm_up()
        searched = [path for path in space.dimensions if path in testbed.never_used]
        if searched:
            say(f"searched without an effect in this simulation: {', '.join(searched)}")
        return testbed
