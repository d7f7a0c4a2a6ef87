"""What Volcano's parameters mean for a simulation."""

from schedulers._kubernetes.pods import GRACE_S
from schedulers.policy import Policy
from schedulers.volcano.params import VolcanoParams


def policy(params: VolcanoParams) -> Policy:
    """Return the policy of a scheduler that runs with `params`.

    It decides at once, and all its jobs are gangs. The pause between two runs isn't simulated; nor
    is the order among the jobs of one run, but for their submission.
    """
    return Policy(
        reserve="skip",
        grace_s=GRACE_S,
        placement="pack" if params.binpack_weight else "least_loaded",
        ignored=tuple(name for name in VolcanoParams.model_fields if name != "binpack_weight"),
    )
