"""How fast a host is by itself, measured in a second when it is opened.

A trial's provenance holds it, so that results of unlike hosts aren't compared unawares.
"""

import hashlib
import time
from dataclasses import dataclass

import numpy as np

_SPELL_S = 0.15
_HASHED = bytes(64 * 1024)
_COPIED_BYTES = 64 * 2**20  # more than caches hold
_NAPS = 100
_NAP_S = 0.001
_MIB = 2**20


REFERENCE_HASH_MIB_S = 400.0
REFERENCE_COPY_MIB_S = 4000.0
EMULATION_SLOWNESS = 5.0
"""How many times longer a phase may take where guests are emulated. Programs take ten times as long
there and more; what a phase waits for is in part the disk, the network and timers."""


@dataclass(frozen=True)
class Calibration:
    """The speed of one host."""

    hash_mib_s: float
    """SHA-256 on one core, in MiB/s."""
    copy_mib_s: float
    """Copying memory, in MiB/s read and written."""
    timer_us: float
    """How late a sleeper of 1 ms wakes, in microseconds: the 95th percentile."""

    @property
    def slowness(self) -> float:
        """How many times slower than the reference machine it is, 1 for all that are as fast.

        The reference machine hashes REFERENCE_HASH_MIB_S and copies REFERENCE_COPY_MIB_S; time
        limits are stated for it.
        """
        hashing = REFERENCE_HASH_MIB_S / self.hash_mib_s
        copying = REFERENCE_COPY_MIB_S / self.copy_mib_s
        return max(1.0, hashing, copying)


def calibrate() -> Calibration:
    """Measure this machine; the best of several tries counts, since others may disturb any."""
    return Calibration(_hash_mib_s(), _copy_mib_s(), _timer_us())


def _hash_mib_s() -> float:
    def spell() -> float:
        begun = time.perf_counter()
        rounds = 0
        while (took := time.perf_counter() - begun) < _SPELL_S:
            hashlib.sha256(_HASHED).digest()
            rounds += 1
        return rounds * len(_HASHED) / _MIB / took

    return max(spell() for _ in range(3))


def _copy_mib_s() -> float:
    source = np.ones(_COPIED_BYTES, dtype=np.uint8)
    target = np.empty_like(source)

    def spell() -> float:
        begun = time.perf_counter()
        np.copyto(target, source)
        return 2 * _COPIED_BYTES / _MIB / (time.perf_counter() - begun)

    # The first copy also pays for the page faults of the fresh target; the best of five leaves them
    # out.
    return max(spell() for _ in range(5))


def _timer_us() -> float:
    late = []
    for _ in range(_NAPS):
        begun = time.perf_counter()
        time.sleep(_NAP_S)
        late.append(time.perf_counter() - begun - _NAP_S)
    return float(np.percentile(late, 95)) * 1e6
