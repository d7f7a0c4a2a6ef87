"""Offsets of the nodes' clocks from the driver's, with their errors; times on one clock by them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from campaign.guest import GuestError

MAX_DRIFT = 500e-6
"""Seconds per second that a clock which nobody sets may gain or lose: the most that Linux corrects
(adjtimex(2)). Emulated nodes drift by some millionths."""


@dataclass(frozen=True)
class ClockSample:
    """One question to a node's clock.

    `sent_s` and `received_s` are on the driver's clock, `answered_s` is on the node's.
    """

    sent_s: float
    answered_s: float
    received_s: float

    @property
    def round_trip_s(self) -> float:
        return self.received_s - self.sent_s


@dataclass(frozen=True)
class ClockOffset:
    """A node's clock minus the driver's at the driver's time `at_s`, known to +-`error_s`."""

    offset_s: float
    error_s: float
    at_s: float


@dataclass(frozen=True)
class NodeClock:
    """A node's clock during a workload: its offset before and after it, linear in between."""

    before: ClockOffset
    after: ClockOffset

    @property
    def error_s(self) -> float:
        """How far off a time that was converted to the driver's clock may be.

        That is the error of the measurements, and the clock's jump: nobody knows when it happened.
        """
        return max(self.before.error_s, self.after.error_s) + self.jump_s

    @property
    def jump_s(self) -> float:
        """The part of the offset's change that neither drift nor measurement errors explain."""
        explained = (
            MAX_DRIFT * abs(self.after.at_s - self.before.at_s)
            + self.before.error_s
            + self.after.error_s
        )
        return max(0.0, abs(self.after.offset_s - self.before.offset_s) - explained)

    def to_driver_us(self, node_us: ArrayLike) -> NDArray[np.float64]:
        """Convert microseconds since 1970 from the node's clock to the driver's.

        The result has the shape of `node_us`. Before and after the workload the nearer offset
        holds.
        """
        times = np.asarray(node_us, dtype=np.float64)
        known = sorted(
            (point.at_s + point.offset_s, point.offset_s) for point in (self.before, self.after)
        )
        at, offsets = np.array(known).T * 1e6
        return np.asarray(times - np.interp(times, at, offsets), dtype=np.float64)


def offset(samples: Iterable[ClockSample]) -> ClockOffset:
    """Return the offset by the sample with the shortest round trip, half of which is its error.

    Cristian 1989, Probabilistic Clock Synchronization; NTP's clock filter chooses likewise (RFC
    5905). Raises GuestError when there is no sample.
    """
    best = min(samples, key=lambda sample: sample.round_trip_s, default=None)
    if best is None:
        raise GuestError("a node's clock", "no answer")
    middle = (best.sent_s + best.received_s) / 2
    return ClockOffset(best.answered_s - middle, best.round_trip_s / 2, middle)


def parse_clock(line: str) -> float:
    """Return one answer of `clock` in seconds since 1970. Raises GuestError for anything else."""
    try:
        return float(line)
    except ValueError:
        raise GuestError("an answer of clock", line) from None
