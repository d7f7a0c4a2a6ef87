"""What Flux's parameters mean for a simulation: it decides whenever a job comes or goes, and
reserves for some.

Read off flux-sched 0.54 (qmanager/policies) and flux-core 0.88 (sched-simple.py, sched-fifo.py,
sched-backfill.py).
"""

from schedulers.flux.jobs import GRACE_S
from schedulers.flux.params import FLUXION, FLUXION_ONLY, FluxParams
from schedulers.policy import Policy, Reserve

_RESERVES: dict[str, Reserve] = {"fcfs": "none", "easy": "first", "conservative": "all"}


def policy(params: FluxParams) -> Policy:
    """The policy of an instance that runs with `params`; those without a meaning here are named.

    How many waiting jobs are looked at isn't simulated, nor which cores are chosen. `hybrid` is
    taken for EASY when it reserves for one job, and for conservative backfilling otherwise.
    """
    ignored = {"queue_depth", "match_policy"}
    if params.sched != FLUXION:
        ignored |= set(FLUXION_ONLY)
        reserve: Reserve = "first" if params.sched == "sched-backfill" else "none"
    elif params.queue_policy == "hybrid":
        reserve = "first" if params.reservation_depth == 1 else "all"
    else:
        ignored.add("reservation_depth")
        reserve = _RESERVES[params.queue_policy]
    return Policy(
        reserve=reserve,
        grace_s=GRACE_S,
        ignored=tuple(name for name in FluxParams.model_fields if name in ignored),
    )
