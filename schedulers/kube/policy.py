"""What kube-scheduler's parameters mean for a simulation."""

from schedulers._kubernetes.pods import GRACE_S
from schedulers.kube.params import KubeParams
from schedulers.policy import PlacementRule, Policy

_PLACEMENT: dict[str, PlacementRule] = {"LeastAllocated": "least_loaded", "MostAllocated": "pack"}


def policy(params: KubeParams) -> Policy:
    """Return the policy of a scheduler that runs with `params`.

    A simulated job has all its slots at once, which pods on a real cluster don't: the effects of
    half-started jobs aren't simulated, nor are request rates and pauses between tries.
    """
    return Policy(
        reserve="skip",
        grace_s=GRACE_S,
        placement=_PLACEMENT[params.scoringStrategy],
        ignored=tuple(name for name in KubeParams.model_fields if name != "scoringStrategy"),
    )
