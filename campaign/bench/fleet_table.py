"""The costs of the driver over simulated hosts, as a table and as JSON: numbers in, text out."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Window:
    """A tenth of a campaign's trials, up to number `trials`.

    `driver_ms` is what one of them cost the driver beside its simulation, `cpu_ms` its CPU time in
    that; `memory_mib` is the driver's memory at the end.
    """

    trials: int
    driver_ms: float
    cpu_ms: float
    memory_mib: float


@dataclass(frozen=True)
class FleetMeasurements:
    """A campaign of `trials` trials on `hosts` hosts; `resumed_s` is how long a resume took."""

    windows: Sequence[Window]
    resumed_s: float
    trials: int
    hosts: int


def as_json(measured: FleetMeasurements) -> str:
    """Return all that was measured."""
    return json.dumps(asdict(measured), indent=1)


def as_text(measured: FleetMeasurements) -> str:
    """Return the table as people read it in a terminal."""
    windows = measured.windows
    rows = [
        f"{window.trials:>9,} {window.driver_ms:>12.2f} {window.cpu_ms:>12.2f} "
        f"{window.memory_mib:>12.0f}"
        for window in windows
    ]
    # The first window holds what is done once; the second is the earliest that is typical.
    growth = windows[-1].cpu_ms / windows[1].cpu_ms
    trials = windows[-1].trials - windows[0].trials
    kept_kib = (windows[-1].memory_mib - windows[0].memory_mib) * 1024 / trials
    lines = [
        f"{measured.trials:,} trials on {measured.hosts:,} simulated hosts, as many at once",
        f"{'trials':>9} {'driver, ms':>12} {'its CPU, ms':>12} {'memory, MiB':>12}",
        *rows,
        f"a trial costs the driver {growth:.2f} times as much CPU in the last tenth as in the "
        f"second; it keeps {kept_kib:.1f} KiB of each",
        f"resumed after {measured.resumed_s:.2f} s",
    ]
    return "\n".join(lines) + "\n"
