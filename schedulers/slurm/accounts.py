"""What slurmdbd says of ended jobs, by sacct."""

from schedulers.base import NativeTimes, ParseError

FIELDS = ("JobIDRaw", "State", "Start", "End")
FLUSHED_S = 120
"""How long is waited until the controller has told slurmdbd of all that happened."""


def command() -> tuple[str, ...]:
    """Return the command that prints each job's id, state, start and end, in Unix seconds.

    The controller tells slurmdbd of what happens a moment later. Of a job that was requeued, sacct
    shows the last time that it ran.
    """
    asked = f"sacct --noheader --parsable2 --allocations --allusers --format={','.join(FIELDS)}"
    script = (
        f"for _ in {{1..{FLUSHED_S}}}; do "
        "[[ $(timeout 30 sdiag) =~ 'DBD Agent queue size: 0'[[:space:]] ]] && break; sleep 1; "
        "done; "
        # Without a beginning, sacct shows what has been since midnight.
        f"SLURM_TIME_FORMAT=%s exec timeout 300 {asked} --starttime=1970-01-02"
    )
    return ("bash", "-c", script)


def parse(text: str) -> dict[str, NativeTimes]:
    """Return the jobs that `command` prints, by native id."""
    return {job.native_id: job for job in map(_job, filter(str.strip, text.splitlines()))}


def _job(line: str) -> NativeTimes:
    fields = line.strip().split("|")
    if len(fields) != len(FIELDS) or not fields[0].isdecimal() or not fields[1]:
        raise ParseError(f"a line of sacct ({', '.join(FIELDS)})", line)
    number, state, start, end = fields
    return NativeTimes(number, state, _seconds(start, line), _seconds(end, line))


def _seconds(told: str, line: str) -> float | None:
    if told in ("", "None", "Unknown"):
        return None
    if not told.isdecimal():
        raise ParseError(f"sacct (time {told!r})", line)
    return float(told)
