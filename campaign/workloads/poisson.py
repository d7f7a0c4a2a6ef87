"""A workload model for teaching: everything is uniform, and jobs arrive in a Poisson process."""

import numpy as np

from campaign.core.errors import ConfigError
from campaign.core.jobs import Workload
from campaign.workloads.lublin import USERS_NOTE, Floats, as_table, users

LOAD = 0.7  # offered, of the slots
OVERESTIMATE = 2.0  # requested time / run time


def poisson(*, jobs: int, seed: int, slots: int, runtime_s: tuple[float, float]) -> Workload:
    """Draw `jobs` jobs for a machine of `slots` slots, which they load to 0.7.

    Equal arguments give equal jobs. Widths are uniform from 1 to `slots`, run times uniform between
    the two of `runtime_s` (seconds), and every job asks for twice its run time. Raises ConfigError
    when run times could be 0.
    """
    shortest, longest = runtime_s
    if not 0 < shortest <= longest:
        raise ConfigError(
            f"workload.runtime_s: [{shortest:g}, {longest:g}] isn't [shortest, longest] in "
            "seconds, both above 0",
            resolution="Give two run times above 0, the shorter one first.",
        )
    draw = np.random.default_rng(seed)
    width = draw.integers(1, slots + 1, jobs)
    runtime = draw.uniform(shortest, longest, jobs)
    arrival = arrivals(draw, jobs, slots=slots, area=(slots + 1) / 2 * (shortest + longest) / 2)
    notes = {
        "model": f"Poisson arrivals that load {slots} slots to {LOAD:g}, widths up to {slots}, "
        f"run times from {shortest:g} to {longest:g} s, both uniform, seed {seed}",
        "requested_s": f"{OVERESTIMATE:g} times the run time",
        "user": USERS_NOTE,
    }
    table = as_table(arrival, width, runtime, OVERESTIMATE * runtime, users(draw, jobs))
    return Workload("poisson", table, notes, slots)


def arrivals(draw: np.random.Generator, count: int, *, slots: int, area: float) -> Floats:
    """Draw arrival times (s) of a Poisson process, the first at 0.

    Jobs of mean `area` (slot-seconds) then load `slots` slots to 0.7: load = rate * area / slots.
    """
    gaps = draw.exponential(area / (LOAD * slots), count)
    gaps[0] = 0.0
    return np.cumsum(gaps)
