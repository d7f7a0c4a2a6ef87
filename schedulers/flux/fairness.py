"""What to know of Flux, as it is driven here, before it is compared with another scheduler."""

FAIRNESS = {
    "gang": "yes: all its nodes are allocated at once",
    "backfill": "as sched and queue_policy say: for all, for the first, or never",
    "decisions": "each submission and end",
    "admission": "no validators (the administrator's guide has two): they are processes that "
    "come and go",
    "submission": "one process that stays, by Flux's own Python, on the head",
    "rates": "none",
    "queues": "one queue, or one for each partition; jobs have one urgency, or that of their "
    "quality of service",
    "accounting": "the jobs' event logs, microseconds",
    "limits": "the requested time and ten seconds, within which a launch is counted too",
    "allocation": "as many cores on each of the fewest nodes: more than asked for where the "
    "width isn't a multiple",
    "launch": "a job shell on each node, by the brokers' tree",
    "logging": "info, to files in memory",
    "daemons": "a broker with all services; a broker. In a dense cluster, a heartbeat each minute "
    "instead of each 2 s, and no others between brokers; nothing of it decides where or when a job "
    "runs",
}
"""An answer to each of `schedulers.base.ASPECTS`."""
