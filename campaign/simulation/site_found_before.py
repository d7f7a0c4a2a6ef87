"""What backfill runs have found for each job, for as long as the same would be found. Compiled.

Most runs come only because time has passed, or because a job has come: nothing has begun or ended,
and what is planned for the first jobs of the queue is what was planned before. What was found for
a job beside the same plan is found again, until a time that was told with it.
"""

from typing import NamedTuple

import numpy as np

from campaign.simulation.compiled import ONE, lean
from campaign.simulation.node_sets import Words, words_for
from campaign.simulation.site_arrays import (
    FINDING,
    RUNNING,
    Ints,
    Live,
    Records,
    Site,
    records,
)
from campaign.simulation.site_plan import PlanChain
from campaign.simulation.site_running import SECOND
from campaign.simulation.work import NEVER

# Places of `FoundBefore.state`: how many jobs this run has planned; the number of its plan so far,
# the last number that was given to one; how many jobs ran then; whether what the job has found was
# found before.
PLANNED, NUMBER, NUMBERS, RAN, AGAIN = range(5)


class FoundBefore(NamedTuple):
    """What was found for each of the `jobs`, by a run that began while others were running.

    The plan of the first i jobs of `planned` has the number numbers[i], which no other plan has
    ever had; nodes[i] are those of job i. `limit_times` and `limit_jobs` are the jobs that ran.
    """

    jobs: Records
    planned: Ints
    numbers: Ints
    nodes: Words
    limit_times: Ints
    limit_jobs: Ints
    state: Ints


def nothing_found(site: Site, live: Live) -> FoundBefore:
    """Return room for what runs find, who have found nothing yet."""
    jobs = live.submit.size
    plans = min(jobs, int(site.rules[0].tests)) + 1
    return FoundBefore(
        jobs=records(FINDING, jobs),
        planned=np.zeros(plans, np.int64),
        numbers=np.zeros(plans + 1, np.int64),
        nodes=np.zeros((plans, words_for(site.total.size)), np.int64),
        limit_times=np.zeros_like(live.limit_times),
        limit_jobs=np.zeros_like(live.limit_jobs),
        state=np.zeros(AGAIN + 1, np.int64),
    )


@lean
def begin_plan(before: FoundBefore, live: Live, now: int) -> None:
    """Begin a plan: of no job, beside the jobs that run now."""
    state = before.state
    running = live.state[RUNNING]
    # A job that is over its limit may end at any moment, which moves what is planned behind it.
    same = state[RAN] == running and (running == 0 or now < live.limit_times[0] - SECOND)
    for index in range(running):
        if not same:
            break
        same = (
            before.limit_times[index] == live.limit_times[index]
            and before.limit_jobs[index] == live.limit_jobs[index]
        )
    if not same:
        state[RAN] = running
        for index in range(running):
            before.limit_times[index] = live.limit_times[index]
            before.limit_jobs[index] = live.limit_jobs[index]
        before.numbers[0] = _new_number(state)
    state[PLANNED] = 0
    state[NUMBER] = before.numbers[0]


@lean
def close_plan(before: FoundBefore) -> None:
    """Let nothing that this run still finds be found again: a job has begun."""
    before.state[NUMBER] = _new_number(before.state)
    before.state[RAN] = -ONE


@lean
def _new_number(state: Ints) -> int:
    state[NUMBERS] += 1
    return state[NUMBERS]


@lean
def is_found_again(
    before: FoundBefore, chain: PlanChain, job: int, now: int, now_only: bool
) -> bool:
    """Return whether what was found for the job would be found; let its nodes be the chosen ones.

    What it was found beside is what is planned so far, by the same jobs on the same nodes.
    """
    state = before.state
    state[AGAIN] = 0
    found = before.jobs
    if (
        found.beside[job] != state[NUMBER]
        or found.until[job] <= now
        or found.now_only[job] != now_only
    ):
        return False
    if found.start[job] < NEVER:
        place = state[PLANNED]
        if before.planned[place] != job:
            return False
        for word in range(chain.chosen.size):
            chain.chosen[word] = before.nodes[place, word]
    state[AGAIN] = 1
    return True


@lean
def note_found(
    before: FoundBefore, job: int, now_only: bool, start: int, looked: int, until: int
) -> None:
    """Note what was found for the job beside what is planned so far.

    What starts is found again only once it has been planned (`note_planned`).
    """
    found = before.jobs
    found.beside[job] = before.state[NUMBER]
    found.now_only[job] = now_only
    found.start[job] = start
    found.looked[job] = looked
    found.until[job] = until if start >= NEVER else 0


@lean
def note_planned(before: FoundBefore, chain: PlanChain, job: int, kept: int) -> None:
    """Note that the chosen nodes are planned for the job, which is done again until `kept`."""
    state = before.state
    place = state[PLANNED]
    if not state[AGAIN]:
        before.jobs.until[job] = kept
        before.planned[place] = job
        before.numbers[place + 1] = _new_number(state)
        for word in range(chain.chosen.size):
            before.nodes[place, word] = chain.chosen[word]
    state[PLANNED] = place + 1
    state[NUMBER] = before.numbers[place + 1]
