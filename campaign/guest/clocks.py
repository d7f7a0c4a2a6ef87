"""Clocks of nodes against the driver's: offsets with their uncertainty, and times brought onto one
clock."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from campaign.guest import GuestError

MAX_DRIFT = 500e-6
"""Seconds per second that a clock which nobody sets may gain or lose: the most that Linux corrects
(adjtimex(2)). Emulated nodes drift by some millionths."""


@dataclass(frozen=True)
class Sample:
    """One question to a node's clock: when it left and came back (driver's clock), and the answer
    (node's clock)."""

    sent_s: float
    answered_s: float
    received_s: float

    @property
    def round_trip_s(self) -> float:
        return self.received_s - self.sent_s


@dataclass(frozen=True)
class ClockOffset:
    """A node's clock minus the driver's, at driver time `at_s`; the truth lies within `error_s` of
    it."""

    offset_s: float
    error_s: float
    at_s: float


@dataclass(frozen=True)
class NodeClock:
    """A node's clock over a workload: its offset before and after, and linear in between."""

    before: ClockOffset
    after: ClockOffset

    @property
    def error_s(self) -> float:
        """How far off a time on the driver's clock may be: what the measurements leave open, and
        what the clock jumped by at a moment that nobody knows."""
        return max(self.before.error_s, self.after.error_s) + self.jump_s

    @property
    def jump_s(self) -> float:
        """How much of the offset's change is neither drift nor the measurements' error."""
        explained = (
            MAX_DRIFT * abs(self.after.at_s - self.before.at_s)
            + self.before.error_s
            + self.after.error_s
        )
        return max(0.0, abs(self.after.offset_s - self.before.offset_s) - explained)

    def to_driver_us(self, node_us: ArrayLike) -> NDArray[np.float64]:
        """Driver-clock microseconds since 1970 of node-clock ones; outside the span the nearer
        offset holds."""
        times = np.asarray(node_us, dtype=np.float64)
        known = sorted(
            (point.at_s + point.offset_s, point.offset_s) for point in (self.before, self.after)
        )
        at, offsets = np.array(known).T * 1e6
        return np.asarray(times - np.interp(times, at, offsets), dtype=np.float64)


def offset(samples: Iterable[Sample]) -> ClockOffset:
    """The offset from the sample with the shortest round trip: half of that bounds the error.

    Cristian 1989, Probabilistic Clock Synchronization; NTP's clock filter chooses likewise (RFC
    5905). Raises GuestError when there is no sample.
    """
    best = min(samples, key=lambda sample: sample.round_trip_s, default=None)
    if best is None:
        raise GuestError("a node's clock", "no answer")
    middle = (best.sent_s + best.received_s) / 2
    return ClockOffset(best.answered_s - middle, best.round_trip_s / 2, middle)


def parse_clock(line: str) -> float:
    """One answer of `clock`: seconds since 1970. Raises GuestError for anything else."""
    try:
        return float(line)
    except ValueError:
        raise GuestError("an answer of clock", line) from None
