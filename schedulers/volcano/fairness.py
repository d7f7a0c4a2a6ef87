"""What to know of Volcano, as it is driven here, before it is compared with others."""

from schedulers._kubernetes.fairness import DENSE_DAEMONS, SHARED

FAIRNESS = {
    **SHARED,
    "gang": "as the parameter gang says: all pods of a job or none",
    "backfill": "yes: a job that fits is started; nothing is reserved for one that doesn't",
    "decisions": "every schedule_period",
    "admission": "the API server's admission plugins, without Volcano's webhooks; enqueue lets "
    "jobs have pods",
    "rates": "kube_api_qps and kube_api_burst of the scheduler; 50 requests/s of the controllers",
    "queues": "one queue, or one for each account by its share; in it, jobs rank by partition and "
    "quality of service where there are any, then drf if it is on, then their submission",
    "allocation": "the width in slots (an extended resource), as even as can be over the fewest "
    "pods; CPU and memory "
    "aren't requested",
    "daemons": "etcd, kube-apiserver, vc-controller-manager (job and queue controllers), "
    "vc-scheduler, and where pods "
    f"meet; containerd and kubelet; {DENSE_DAEMONS}",
}
"""An answer to each of `schedulers.base.ASPECTS`."""
