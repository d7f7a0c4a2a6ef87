"""The command by which Slurm writes the log that is read here, with all columns that are used."""

COLUMNS = (
    "JobID,JobIDRaw,User,Group,Account,Partition,QOS,Reservation,Constraints,Submit,Start,End,"
    "ElapsedRaw,TimelimitRaw,AllocCPUS,AllocNodes,ReqNodes,ReqMem,AllocTRES,State,SubmitLine"
)
WHOLE = "-a -X -D"
"""All users' jobs, without their steps, each time that one ran."""
COMMAND = f"sacct -P {WHOLE} -S 2026-01-01 -E now --format={COLUMNS}"
"""What a site runs to get a log of all that is read here."""
