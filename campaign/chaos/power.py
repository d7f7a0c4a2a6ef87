"""Power cuts: campaigns on a disk that loses its power at random moments, resumed until done."""

import logging
import random
import time
from collections.abc import Iterator

from campaign.chaos.commanded import CommandedCampaigns, finish, lines_of
from campaign.chaos.drivers import CommandCampaign, ForkedDriver
from campaign.chaos.kept import broken_now
from campaign.chaos.power_disk import PowerDisk, power_disk
from campaign.chaos.runs import ChaosRun

CAMPAIGNS = "4 to 8 simulated trials by the command line, on disks of their own"
"""The campaigns in the words of the report."""
POWER_CUT = "power cut"
MOST_CUTS = 4
"""At most so many of a campaign's drivers in a row lose their power."""
LONGEST_S = 3.0
"""At most so long after a line of the ledger, or after its last one, the power is cut."""
POLL_S = 0.002

_log = logging.getLogger(__name__)


def run_power_cuts(cuts: int, seed: int, campaigns: CommandedCampaigns) -> Iterator[ChaosRun]:
    """Run campaigns until so many power cuts were survived, or weren't; yield each outcome.

    Each campaign has a disk of its own, and a seed: the first has `seed`, each later one the next.
    Raises UsageError where the power can't be cut (see `power_disk.check_possible`).
    """
    done = 0
    while done < cuts:
        outcome = run(seed, campaigns, most=cuts - done)
        done += outcome.faults.total()
        injected = f"{outcome.faults.total()} power cuts"
        _log.info("seed %d: %s; %s", seed, injected, "; ".join(outcome.broken) or "all held")
        yield outcome
        seed += 1


def run(seed: int, campaigns: CommandedCampaigns, *, most: int = MOST_CUTS) -> ChaosRun:
    """Run one campaign on a disk of its own, whose power is cut at moments that the seed draws."""
    outcome = ChaosRun(seed)
    draw = random.Random(seed)  # noqa: S311 - no secret
    settings, undisturbed, lines = campaigns.drawn(seed)
    with power_disk() as disk:
        campaign = CommandCampaign(settings, disk.folder)
        for _ in range(min(most, draw.randint(1, MOST_CUTS))):
            _cut_once(campaign, disk, draw, lines, outcome)
        finish(campaign, undisturbed, outcome)
    return outcome


def _cut_once(
    campaign: CommandCampaign, disk: PowerDisk, draw: random.Random, lines: int, outcome: ChaosRun
) -> None:
    """Start a driver, cut the disk's power while it runs, and look at what is there afterwards."""
    outcome.drivers += 1
    # The one more is for what comes after the ledger's last line: the report, and MLflow.
    at_line = draw.randint(0, lines + 1)
    moment_s = draw.uniform(0, LONGEST_S if at_line > lines else 0.2)
    with ForkedDriver(campaign.arguments, disk.folder / "said") as driver:
        while driver.status is None and lines_of(campaign) < min(at_line, lines):
            time.sleep(POLL_S)
        driver.wait(moment_s)
        disk.cut()
        outcome.faults[POWER_CUT] += 1
    disk.unmount()
    disk.mount()
    outcome.broken += [f"after a power cut: {line}" for line in broken_now(campaign)]
