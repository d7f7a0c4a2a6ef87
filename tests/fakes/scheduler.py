"""A scheduler that needs no bootstrap and runs with whatever parameters it was given."""

from typing import ClassVar

from campaign.core.levers import Lever
from schedulers.base import BootstrapPlan, LaunchLimit, Params, PhaseLimits, Secrets
from schedulers.policy import Policy

SMOKE_TEST = ("srun", "true")
NOTHING = BootstrapPlan(())


class FakeScheduler:
    """A scheduler that needs no bootstrap; it is its own bound adapter."""

    name = "fake"
    Params = Params
    phase_limits = PhaseLimits(boot_s=60.0, configure_s=60.0, smoke_test_s=120.0)
    launch_limit = LaunchLimit(1.0, at_once=1)
    resolution_s = 1.0
    memory_mib = 256
    stand_ins = ""
    expresses = frozenset()
    images: ClassVar[dict[Lever, str]] = {}
    acts_with: ClassVar[dict[str, frozenset[Lever]]] = {}

    def policy(self, params):
        return Policy()

    def make_secrets(self, draw=None):
        return Secrets()

    def for_image(self, facts):
        self.scheduler = self
        return self

    def plan(self, topology, params, secrets):
        return NOTHING

    def reconfigure(self, topology, params):
        return NOTHING

    def smoke_test_command(self, topology):
        return SMOKE_TEST

    def version_command(self):
        return ("fake", "--version")

    def verify_command(self):
        return ("fake", "config")

    def parse_version(self, text):
        return "1.0"

    def parse_config(self, text):
        return {}
