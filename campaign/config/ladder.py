"""A ladder of testbeds (`search.ladder`): whether it can be climbed, and what its cheap rung is."""

from collections.abc import Iterable, Iterator

from campaign.config.cluster_check import not_expressed
from campaign.schema.model import Campaign
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import Problem

SETTING = "search.ladder"
REHEARSALS = "search.rehearsals"
CHEAP = "simulation"
DEAR = ("virtual-time", "libvirt")
TIMES_TRIALS = 10
FEWEST = 100
"""Points are rehearsed so many times as often as there are trials, and so often at least."""


def ladder_problems(
    campaign: Campaign, schedulers: Iterable[Scheduler[Params]]
) -> Iterator[Problem]:
    """Yield why a campaign's ladder can't be climbed; nothing where it has none."""
    ladder = campaign.search.ladder
    if not ladder:
        return
    if why := _wrong(campaign):
        allowed = " | ".join(f"[{CHEAP}, {dear}]" for dear in DEAR)
        yield Problem(SETTING, ladder, allowed, why)
        return
    for problem in not_expressed(rehearsal_of(campaign), schedulers):
        why = f"{problem.why}, so it can't be tried there before ({SETTING})"
        yield problem._replace(why=why)
    rehearsals = campaign.search.rehearsals
    if rehearsals is not None and rehearsals <= campaign.search.trials:
        why = f"each of {campaign.search.trials} trials is promoted from among more points"
        yield Problem(REHEARSALS, rehearsals, f"above {campaign.search.trials}", why)


def _wrong(campaign: Campaign) -> str:
    ladder = campaign.search.ladder
    if len(ladder) != 2:
        return f"a ladder has two rungs, a cheap one and a dear one, not {len(ladder)}"
    cheap, dear = ladder
    if cheap != CHEAP or dear == CHEAP:
        return f"what is tried first is {CHEAP}, and what is promoted runs on machines"
    if dear != campaign.testbed.kind:
        return f"its dear rung is where trials run, and testbed.kind is {campaign.testbed.kind}"
    return ""


def rehearsal_of(campaign: Campaign) -> Campaign:
    """Return the campaign as its points are tried on the cheap rung."""
    testbed = campaign.testbed.model_copy(update={"kind": CHEAP, "ray_address": None})
    return campaign.model_copy(update={"testbed": testbed})


def rehearsals(campaign: Campaign) -> int:
    """Return how many points are tried on the cheap rung."""
    search = campaign.search
    if search.rehearsals is not None:
        return search.rehearsals
    return max(TIMES_TRIALS * search.trials, FEWEST)
