"""What to know of Slurm, as it is driven here, before it is compared with another scheduler."""

FAIRNESS = {
    "gang": "yes: all its nodes are allocated at once",
    "backfill": "as SchedulerType says: by a clock, or never",
    "decisions": "a clock (sched_interval, bf_interval), and submissions and ends, delayed by "
    "batch_sched_delay",
    "admission": "none beside slurmctld's own checks",
    "submission": "sbatch, a process for each job, on the head",
    "rates": "none",
    "queues": "one partition, or those of cluster.partitions; priorities as PriorityType and its "
    "weights say",
    "accounting": "whole seconds: the controller's completion log, or slurmdbd where the cluster "
    "has accounts",
    "limits": "the requested time, rounded up to whole minutes; a job is killed a minute later",
    "allocation": "the slots asked for, on the fewest nodes that hold them",
    "launch": "slurmd runs the batch script on the first node; with several, srun starts the tasks",
    "logging": "info, to files in memory",
    "daemons": "munged and slurmctld, with accounts slurmdbd and MariaDB too; munged and slurmd",
}
"""An answer to each of `schedulers.base.ASPECTS`."""
