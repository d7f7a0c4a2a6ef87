"""What Flux's parameters mean for a simulation.

Flux decides whenever a job comes or goes, and reserves for some jobs. Read off flux-sched 0.54
(qmanager/policies) and flux-core 0.88 (sched-simple.py, sched-fifo.py, sched-backfill.py), the
versions of the Debian image. The flake's NixOS image has flux-core 0.86, which was not read: what
`policy` says holds there as far as these files are the same.
"""

from schedulers.flux.params import FLUXION, FluxParams
from schedulers.flux.queues import GRACE_S
from schedulers.policy import Policy, Reserve

_RESERVES: dict[str, Reserve] = {"fcfs": "none", "easy": "first", "conservative": "all"}


def policy(params: FluxParams) -> Policy:
    """Return the policy of an instance that runs with `params`, with those that it ignores.

    The number of waiting jobs that are looked at isn't simulated, nor the choice of cores. `hybrid`
    is taken for EASY when it reserves for one job, and for conservative backfilling otherwise.
    """
    ignored = {"queue_depth", "match_policy", *params.idle}
    if params.sched != FLUXION:
        reserve: Reserve = "first" if params.sched == "sched-backfill" else "none"
    elif params.queue_policy == "hybrid":
        reserve = "first" if params.reservation_depth == 1 else "all"
    else:
        ignored.add("reservation_depth")
        reserve = _RESERVES[params.queue_policy]
    return Policy(
        reserve=reserve,
        grace_s=GRACE_S,
        even=True,
        ignored=tuple(name for name in FluxParams.model_fields if name in ignored),
        unmodelled=("queue_depth", "match_policy"),
    )
