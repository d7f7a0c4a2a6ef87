"""Why a job waited in a simulation, as a timeline: from when until when, and for what."""

from dataclasses import dataclass, replace
from itertools import pairwise

from campaign.simulation.engine import NS
from campaign.simulation.site_reasons import NONE, in_words
from campaign.simulation.site_simulate import SiteSchedule


@dataclass(frozen=True)
class WaitReason:
    """What a job waited for from `since_s` until `until_s`, seconds since the workload's start."""

    since_s: float
    until_s: float
    why: str


def waits_of(found: SiteSchedule, job: int) -> list[WaitReason]:
    """Return what the job at this place of the workload waited for, one reason after the other.

    The last one ends with its start. One that never started waits until the last job has gone.
    """
    schedule = found.schedule
    ran = bool(found.ran[job])
    end = int(schedule.decided[job]) if ran else int(schedule.freed.max())
    noted = found.reasons[found.reasons[:, 1] == job]
    changes = [(int(schedule.accepted[job]), int(NONE))]
    changes += [(time, reason) for time, reason in noted[:, [0, 2]].tolist() if time < end]
    waits: list[WaitReason] = []
    for (since, reason), (until, _) in pairwise([*changes, (end, int(NONE))]):
        why = in_words(reason)
        if until <= since:
            continue  # of several at one moment, the last one counts
        if waits and waits[-1].why == why:
            waits[-1] = replace(waits[-1], until_s=until / NS)
        else:
            waits.append(WaitReason(since / NS, until / NS, why))
    return waits
