"""What each column of the Parquet files of a campaign means, and its unit."""

from typing import NamedTuple


class Column(NamedTuple):
    """The unit of a column ("" where it has none) and what it says of a job."""

    unit: str
    meaning: str


WORKLOAD_COLUMNS = {
    "job_id": Column("", "the job's number in the log or model"),
    "arrival_s": Column("s", "when the job is to be submitted; the first job at 0"),
    "width": Column("slots", "job slots that it asks for"),
    "runtime_s": Column("s", "how long its payload runs"),
    "requested_s": Column("s", "the time limit that its user asked for"),
    "user": Column("", "number of its user"),
}
"""The columns of every workload; the jobs table of a trial begins with them."""

TRAITS_COLUMNS = {
    "nodes": Column("", "nodes that the job asks for"),
    "memory_per_slot_mib": Column("MiB", "memory that it asks for, for each slot"),
    "memory_per_node_mib": Column("MiB", "memory that it asks for, on each node"),
    "gpus": Column("", "GPUs that the whole job asks for"),
    "gpu_type": Column("", "their type"),
    "features": Column("", "its constraint on nodes, as the log writes it"),
    "exclusive": Column("", "whether it has its nodes for itself"),
    "user_name": Column("", "name of its user"),
    "group": Column("", "name of its user's group"),
    "account": Column("", "account that it is charged to"),
    "partition": Column("", "partition that it was submitted to"),
    "qos": Column("", "quality of service"),
    "reservation": Column("", "reservation that it runs in"),
    "array": Column("", "the array that it is a task of"),
    "array_limit": Column("", "how many of the array's tasks may run at once"),
    "after": Column("", "numbers of the jobs that it depends on"),
    "after_kind": Column("", "how: afterok, afterany, afternotok, after or aftercorr"),
    "think_s": Column("s", "from the end of its user's job before to its submission"),
    "recorded_wait_s": Column("s", "how long it waited where the log was written"),
    "recorded_state": Column("", "what became of it there: completed, failed, timeout, ..."),
}
"""What a log may know of a job beside; a workload's file has those columns that say anything."""

JOBS_COLUMNS = {
    "nodes_requested": Column("", "nodes that it asked the scheduler for"),
    "nodes": Column("", "names of the nodes on which its payload ran"),
    "intended_ns": Column("ns", "when it should have been submitted"),
    "submit_ns": Column("ns", "when its submission began"),
    "accepted_ns": Column("ns", "when the scheduler had answered"),
    "start_ns": Column("ns", "when its payload began on the first node"),
    "all_started_ns": Column("ns", "when its payload had begun on all nodes"),
    "end_ns": Column("ns", "when its payload had ended on the last node"),
    "exit_code": Column("", "exit code of its payload"),
    "native_id": Column("", "the scheduler's own number of the job"),
    "native_state": Column("", "its last state in the scheduler's own accounts"),
    "native_start_s": Column("s", "its start in the scheduler's own accounts and resolution"),
    "native_end_s": Column("s", "its end in the scheduler's own accounts and resolution"),
}
"""What a trial measures of a job. Times are on one clock, from the workload's start."""

LABEL_COLUMNS = {
    "campaign": Column("", "name of the campaign"),
    "trial": Column("", "number of the trial"),
    "instance": Column("", "number of the workload instance; 0 is the first"),
    "attempt": Column("", "which attempt at the trial this was; 1 is the first"),
    "outcome": Column("", "what became of the trial: ok, invalid, ..."),
}
"""The first columns of `jobs/`, equal in all rows of a file."""
