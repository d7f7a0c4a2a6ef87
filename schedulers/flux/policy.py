"""What Flux's parameters mean for a simulation.

Flux decides whenever a job comes or goes, and reserves for some jobs. Read off flux-sched 0.54
(qmanager/policies) and flux-core 0.88 (sched-simple.py, sched-fifo.py, sched-backfill.py), the
versions of the Debian image. The flake's NixOS image has flux-core 0.86, which was not read: what
`policy` says holds there as far as these files are the same.
"""

from schedulers.flux.params import FLUXION, FluxParams
from schedulers.flux.queues import GRACE_S
from schedulers.policy import Policy, Reserve


def policy(params: FluxParams) -> Policy:
    """Return the policy of an instance that runs with `params`, with those that it ignores.

    The choice of cores isn't simulated. Each run looks at the first `queue_depth` waiting jobs: it
    begins anew after one in which any has started. First come first served, that changes nothing.
    """
    reserve, reservations = _reserves(params)
    ignored = {"match_policy", *params.idle}
    if params.queue_policy != "hybrid":
        ignored.add("reservation_depth")
    if reserve == "none":
        ignored.add("queue_depth")
    return Policy(
        reserve=reserve,
        reservations=reservations,
        depth=params.queue_depth if reserve != "none" else 0,
        grace_s=GRACE_S,
        even=True,
        ignored=tuple(name for name in FluxParams.model_fields if name in ignored),
        unmodelled=("match_policy",),
    )


def _reserves(params: FluxParams) -> tuple[Reserve, int]:
    """Return for which jobs resources are set aside, and for how many where those are some."""
    if params.sched != FLUXION:
        return ("first_brief" if params.sched == "sched-backfill" else "none"), 0
    if params.queue_policy == "fcfs":
        return "none", 0
    if params.queue_policy == "conservative":
        return "some", params.queue_depth
    if params.queue_policy == "hybrid" and params.reservation_depth > 1:
        return "some", params.reservation_depth
    return "first", 0
