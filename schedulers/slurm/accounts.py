"""What slurmdbd says of ended jobs, by sacct."""

import re

from schedulers.base import NativeTimes, ParseError

FIELDS = ("JobID", "State", "Start", "End")
_NUMBER = re.compile(r"\d+(_\d+)?")
_UNBORN = re.compile(r"\d+_\[.*\]")
"""What sacct calls tasks of an array that have never begun, in one line."""
FLUSHED_S = 120
FLUSHED = (
    f"for _ in {{1..{FLUSHED_S}}}; do "
    "[[ $(timeout 30 sdiag) =~ 'DBD Agent queue size: 0'[[:space:]] ]] && break; sleep 1; done"
)
"""Waits so many seconds until the controller has told slurmdbd of all that happened: it does so a
moment later."""


def command() -> tuple[str, ...]:
    """Return the command that prints each job's id, state, start and end, in Unix seconds.

    Of a job that was requeued, sacct shows the last time that it ran.
    """
    asked = f"sacct --noheader --parsable2 --allocations --allusers --format={','.join(FIELDS)}"
    script = (
        f"{FLUSHED}; "
        # Without a beginning, sacct shows what has been since midnight.
        f"SLURM_TIME_FORMAT=%s exec timeout 300 {asked} --starttime=1970-01-02"
    )
    return ("bash", "-c", script)


def parse(text: str) -> dict[str, NativeTimes]:
    """Return the jobs that `command` prints, by native id."""
    lines = (line.strip() for line in text.splitlines() if line.strip())
    jobs = (_job(line) for line in lines if not _UNBORN.fullmatch(line.partition("|")[0]))
    return {job.native_id: job for job in jobs}


def _job(line: str) -> NativeTimes:
    fields = line.split("|")
    if len(fields) != len(FIELDS) or not _NUMBER.fullmatch(fields[0]) or not fields[1]:
        raise ParseError(f"a line of sacct ({', '.join(FIELDS)})", line)
    number, state, start, end = fields
    return NativeTimes(number, state, _seconds(start, line), _seconds(end, line))


def _seconds(told: str, line: str) -> float | None:
    if told in ("", "None", "Unknown"):
        return None
    if not told.isdecimal():
        raise ParseError(f"sacct (time {told!r})", line)
    return float(told)
