"""Volcano's queues: one for each account of a cluster, by the account's share and sizes."""

from collections.abc import Iterator
from math import gcd
from typing import TYPE_CHECKING, Any

from campaign.core.cluster import Account, ClusterModel
from campaign.core.errors import SchedulerError
from campaign.core.levers import Lever
from schedulers._kubernetes.offers import GPU, MEMORY, SLOT, kubernetes_name
from schedulers.base import Topology

if TYPE_CHECKING:
    from campaign.core.jobs import Job

PATH = "/apis/scheduling.volcano.sh/v1beta1/queues"
DEFAULT = "default"
LEVERS = frozenset({Lever.ACCOUNTS, Lever.ACCOUNT_SIZES})
"""What queues express."""
MOST_WEIGHT = 65_535
_SIZES = {SLOT: "max_slots", GPU: "max_gpus", MEMORY: "max_memory_mib"}


def queue_of(job: "Job", topology: Topology) -> str:
    """Return the queue of the job's account, else of its user's first one, else the default one."""
    account = job.traits.account
    user = topology.model.user(job.traits.user_name or "")
    if account is None and user and user.accounts:
        account = user.accounts[0]
    return DEFAULT if account is None else name_of(account)


def names(model: ClusterModel) -> list[str]:
    """Return the names of all queues, the default one first."""
    return [DEFAULT, *(name_of(account.name) for account in model.accounts)]


def name_of(account: str) -> str:
    """Return the name of an account's queue, which is none of Volcano's own."""
    name = kubernetes_name(account)
    return f"account-{name}" if name in {DEFAULT, "root"} else name


def queues(model: ClusterModel) -> Iterator[dict[str, Any]]:
    """Yield the accounts' queues.

    Raise SchedulerError for shares that no weights of Volcano's have.
    """
    common = gcd(*(account.shares for account in model.accounts)) or 1
    for account in model.accounts:
        weight = account.shares // common
        if not 1 <= weight <= MOST_WEIGHT:
            raise SchedulerError(
                f"cluster.accounts.{account.name}.shares = {account.shares}: a queue of Volcano "
                f"has a weight from 1 to {MOST_WEIGHT}",
                resolution="Give accounts shares whose ratios are whole numbers of that size.",
            )
        yield {
            "apiVersion": "scheduling.volcano.sh/v1beta1",
            "kind": "Queue",
            "metadata": {"name": name_of(account.name)},
            # What runs is never ended so that another queue gets its share sooner.
            "spec": {"weight": weight, "reclaimable": False, **_capability(account)},
        }


def _capability(account: Account) -> dict[str, Any]:
    limits = {kind: getattr(account.in_all, field) for kind, field in _SIZES.items()}
    told = {kind: str(most) for kind, most in limits.items() if most is not None}
    return {"capability": told} if told else {}
