"""The command by which a site writes the log that is read here, with all columns that are used."""

COLUMNS = (
    "JobID,JobIDRaw,User,Group,Account,Partition,QOS,Reservation,Constraints,Submit,Start,End,"
    "ElapsedRaw,TimelimitRaw,AllocCPUS,AllocNodes,ReqNodes,ReqMem,AllocTRES,State,SubmitLine"
)
COMMAND = f"sacct -P -a -X -D -S 2026-01-01 -E now --format={COLUMNS}"
"""What a site runs to get a log of all that is read here; `-X` leaves steps out."""
