"""Signals: drivers killed, stopped and told to end at random moments, and two drivers of one name.

The rounds take turns: signals at random, also to MLflow's process alone; a kill while report and
MLflow are finished; several signals in a row; a second driver beside the first.
"""

import contextlib
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Iterator

import psutil

from campaign.chaos.commanded import CommandedCampaigns, finish, lines_of
from campaign.chaos.drivers import CommandCampaign, ForkedDriver
from campaign.chaos.kept import broken_now
from campaign.chaos.runs import ChaosRun
from campaign.core.exits import MLFLOW_INCOMPLETE, USER_ERROR

CAMPAIGNS = "4 to 12 simulated trials by the command line, by signals"
"""The campaigns in the words of the report."""
TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MLFLOW_KILLED = "MLflow killed"
STOPPED_S = 0.3
LONGEST_S = 2.0
"""At most so long after a line of the ledger, a signal is sent."""
TRACE_CHARACTERS = 3000
POLL_S = 0.002

_log = logging.getLogger(__name__)


class SignalledCampaign:
    """A campaign, the draw of its signals, and what has come of it so far."""

    def __init__(self, campaign: CommandCampaign, lines: int, seed: int) -> None:
        self.campaign = campaign
        self.lines = lines
        self.draw = random.Random(seed)  # noqa: S311 - no secret
        self.outcome = ChaosRun(seed)

    def start(self) -> ForkedDriver:
        """Start a driver."""
        self.outcome.drivers += 1
        return ForkedDriver(self.campaign.arguments, self.campaign.folder / "said")

    def wait_for_moment(
        self, driver: ForkedDriver, *, at_line: int | None = None, longest_s: float = LONGEST_S
    ) -> bool:
        """Wait for a moment while the driver runs; return False if it has ended by then.

        The moment is at most `longest_s` after a line of the ledger: the one of this number, or
        any.
        """
        line = self.draw.randint(0, self.lines) if at_line is None else at_line
        while driver.status is None and not driver.answers_signals:
            time.sleep(POLL_S)
        while driver.status is None and lines_of(self.campaign) < line:
            time.sleep(POLL_S)
        return driver.wait(self.draw.uniform(0, longest_s)) is None

    def check(
        self, driver: ForkedDriver, *sent: signal.Signals, without_mlflow: bool = False
    ) -> None:
        """Note what the driver ended with, and all that doesn't hold after it."""
        allowed = {0, *(128 + one for one in sent if one in TO_END)}
        allowed |= {-signal.SIGKILL} if signal.SIGKILL in sent else set()
        allowed |= {MLFLOW_INCOMPLETE} if without_mlflow else set()
        if driver.status not in allowed:
            self.outcome.broken.append(f"the driver ended with {driver.status} after {sent}")
        # A second Ctrl-C interrupts what is done to end in good order.
        if "Traceback" in driver.said and sent.count(signal.SIGINT) < 2:
            _, _, trace = driver.said.partition("Traceback")
            self.outcome.broken.append(f"a traceback after {sent}: {trace[:TRACE_CHARACTERS]}")
        self.outcome.broken += [f"after {sent}: {line}" for line in broken_now(self.campaign)]


def run_signals(rounds: int, seed: int, campaigns: CommandedCampaigns) -> Iterator[ChaosRun]:
    """Run so many rounds, each with a campaign and a seed of its own; yield each outcome.

    The first round has `seed`, each later one the next. `campaigns` has a folder below which the
    rounds have theirs.
    """
    for number in range(seed, seed + rounds):
        outcome = run(number, campaigns)
        injected = ", ".join(outcome.faults) or "no faults"
        _log.info("seed %d: %s; %s", number, injected, "; ".join(outcome.broken) or "all held")
        yield outcome


def run(seed: int, campaigns: CommandedCampaigns) -> ChaosRun:
    """Run the campaign of a seed under the signals of its kind of round, and resume it."""
    settings, undisturbed, lines = campaigns.drawn(seed)
    folder = campaigns.folder / f"round-{seed}"
    folder.mkdir()
    signalled = SignalledCampaign(CommandCampaign(settings, folder), lines, seed)
    ROUNDS[seed % len(ROUNDS)](signalled)
    finish(signalled.campaign, undisturbed, signalled.outcome)
    return signalled.outcome


def _at_random(signalled: SignalledCampaign) -> None:
    """Send one to three signals of any kind, to one driver after the other."""
    draw = signalled.draw
    for _ in range(draw.randint(1, 3)):
        with signalled.start() as driver:
            if not signalled.wait_for_moment(driver):
                continue
            what = draw.choice(["KILL", "TERM", "INT", "HUP", "STOP", "INT to all", MLFLOW_KILLED])
            signalled.outcome.faults[what] += 1
            sent: tuple[signal.Signals, ...] = ()
            if what == "STOP":
                driver.send(signal.SIGSTOP)
                time.sleep(STOPPED_S)
                driver.send(signal.SIGCONT)
            elif what == MLFLOW_KILLED:
                _kill_children(driver)
            else:
                sent = (signal.Signals[f"SIG{what.split()[0]}"],)
                driver.send(*sent, group=what.endswith("all"))
            driver.wait()
            signalled.check(driver, *sent, without_mlflow=what == MLFLOW_KILLED)


def _kill_children(driver: ForkedDriver) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        for child in psutil.Process(driver.pid).children():
            os.kill(child.pid, signal.SIGKILL)


def _at_the_end(signalled: SignalledCampaign) -> None:
    """Kill a driver while it writes the report and finishes MLflow's runs."""
    with signalled.start() as driver:
        if signalled.wait_for_moment(driver, at_line=signalled.lines):
            signalled.outcome.faults["KILL at the end"] += 1
            driver.send(signal.SIGKILL)
        driver.wait()
        signalled.check(driver, signal.SIGKILL)


def _in_a_row(signalled: SignalledCampaign) -> None:
    """Send two to five signals to one driver, faster than it can end."""
    draw = signalled.draw
    sent = []
    with signalled.start() as driver:
        if signalled.wait_for_moment(driver):
            signalled.outcome.faults["signals in a row"] += 1
            for _ in range(draw.randint(2, 5)):
                sent.append(draw.choice(TO_END))
                driver.send(sent[-1])
                driver.wait(draw.uniform(0, 0.05))
        driver.wait()
        signalled.check(driver, *sent)


def _two_drivers(signalled: SignalledCampaign) -> None:
    """Start a second driver while the first one runs: it is refused, and disturbs nothing."""
    campaign = signalled.campaign
    with signalled.start() as driver:
        # The first line is written by who holds the ledger, and does so until its end.
        if signalled.wait_for_moment(driver, at_line=1, longest_s=0):
            driver.send(signal.SIGSTOP)  # so that it is there until the other one has ended
            signalled.outcome.faults["second driver"] += 1
            with ForkedDriver(campaign.arguments, campaign.folder / "other") as other:
                status = other.wait()
                if status != USER_ERROR or "another process runs this campaign" not in other.said:
                    signalled.outcome.broken.append(f"a second driver ended with {status}")
            driver.send(signal.SIGCONT)
        driver.wait()
        signalled.check(driver)


ROUNDS: tuple[Callable[[SignalledCampaign], None], ...] = (
    _at_random,
    _at_the_end,
    _at_random,
    _in_a_row,
    _at_random,
    _two_drivers,
    _at_random,
    _at_the_end,
    _in_a_row,
)
"""The kinds of rounds, in turn; of ninety, forty are random."""
