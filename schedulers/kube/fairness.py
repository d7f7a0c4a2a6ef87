"""What to know of kube-scheduler, as it is driven here, before it is compared with others."""

from schedulers._kubernetes.fairness import DENSE_DAEMONS, SHARED

FAIRNESS = {
    **SHARED,
    "gang": "no: each pod gets a node as soon as one has room, and waits there for the job's "
    "other pods",
    "backfill": "yes: whichever pod fits is placed; nothing is reserved for one that doesn't",
    "decisions": "each pod, when it comes; one that fitted nowhere again after an event, but not "
    "within its backoff",
    "admission": "the API server's admission plugins; the Job controller then creates the pods",
    "rates": "qps and burst of the scheduler; 20 requests/s of the controller manager",
    "queues": "one queue; pods rank by the tier of their partition and their quality of service, "
    "where a cluster has them, and else by when they came",
    "allocation": "as many slots (an extended resource) in each of the fewest pods: more than "
    "asked for where the "
    "width isn't a multiple; CPU and memory aren't requested",
    "daemons": "etcd, kube-apiserver, kube-controller-manager (job controller only), "
    "kube-scheduler, and where pods "
    f"meet; containerd and kubelet; {DENSE_DAEMONS}",
}
"""An answer to each of `schedulers.base.ASPECTS`."""
