"""What is alike under all schedulers for Kubernetes; see `schedulers.base.ASPECTS`."""

SHARED = {
    "submission": "one process that stays, over one connection to the API server, on the head",
    "accounting": "conditions and states of pods, whole seconds: the last pod to get a node, the "
    "last one to end",
    "limits": "the requested time and ten seconds, by timeout(1) in each pod once all have met",
    "launch": "kubelet, containerd and runc on each node; pods of a job meet on the head before "
    "they run; no image is fetched, the network is the node's. In a dense cluster, one program "
    "stands in for all kubelets, runtimes and networks: pods are plain processes, started at once",
    "logging": "the daemons' defaults, to files in memory",
}

DENSE_DAEMONS = (
    "in a dense cluster, a stand-in for the latter two, the API server without its watch cache and "
    "compaction, polls for metrics and two features that wake it (a lease, checks of caches), "
    "etcd with a heartbeat every 2 s and commits every 10 s, and all of them without pings between "
    "them, with more memory before garbage is collected, and with timers that may be late while "
    "nothing else happens, so that several wake them once: by 100 ms in API server and etcd, by "
    "20 ms in what schedules"
)
"""What `daemons` says besides. Nothing of it decides where a job runs; when it does is as much
later as the timers of what schedules."""
