"""What a guest in virtual time does while its speed is measured, and what it notes of itself.

First it idles. Then jobs that outlast the measurement take all nodes, and others queue up behind
them, in steps; each step is followed by a span of steady work, over which is measured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from campaign import guest
from campaign.core.errors import BenchmarkError
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload

QUEUES = (10, 100)
"""How many jobs wait in the spans after the idle one."""
SAMPLE_S = 300.0
"""How often a guest notes its CPU times: rarely, since that costs some."""
IDLE_S = 7200.0
QUEUED_S = 1800.0
FILL_S = 600.0
"""What the submissions before a span, and the launches, are given."""
USAGE_FILE = f"{guest.FOLDER}/usage.tsv"
SERVICES = "/sys/fs/cgroup/system.slice"
AGENT = "trial-agent.service"
US_PER_S = 1e6
_NODES_PER_LONG_JOB = 8
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Span:
    """A span of steady work: seconds of the workload's clock, and how many jobs wait."""

    queue: int
    begin_s: float
    end_s: float


@dataclass(frozen=True)
class UsageSample:
    """CPU times of a guest, in its own seconds, at `virtual_s` since its boot.

    `busy_s` is all that wasn't idle; `services_s` what systemd's services had of it (the scheduler
    with its jobs, but for some hundredths of others), `agent_s` what this project's own agent had,
    which is among them no service.
    """

    virtual_s: float
    busy_s: float
    services_s: float
    agent_s: float


def spans() -> tuple[Span, ...]:
    """Return the spans, in order; the jobs of a queue arrive when the span before has ended."""
    found = [Span(0, 0.0, IDLE_S)]
    for queue in QUEUES:
        begin_s = found[-1].end_s + FILL_S
        found.append(Span(queue, begin_s, begin_s + QUEUED_S))
    return tuple(found)


def workload(nodes: int, slots: int) -> Workload:
    """Return the jobs for a cluster of so many nodes with `slots` each.

    Those that take all nodes ask for different times, and so do those that wait, whose widths go
    from one node to all: so a backfilling scheduler has something to think about.
    """
    idle, *queued = spans()
    long_jobs = list(_long_jobs(nodes, slots, idle.end_s))
    jobs = long_jobs
    before = 0
    arrival_s = idle.end_s + FILL_S / 3
    for span, after in zip(queued, [*queued[1:], None], strict=True):
        jobs += _waiting(range(before, span.queue), nodes, slots, arrival_s)
        before = span.queue
        arrival_s = span.end_s if after else arrival_s
    rows = [{"job_id": number, "user": 1, **job} for number, job in enumerate(jobs, 1)]
    return Workload("a queue behind long jobs", pa.Table.from_pylist(rows, schema=WORKLOAD_SCHEMA))


def running(nodes: int) -> int:
    """Return how many jobs take all the nodes."""
    return -(-nodes // _NODES_PER_LONG_JOB)


def _long_jobs(nodes: int, slots: int, arrival_s: float) -> Iterator[dict[str, float]]:
    for number in range(running(nodes)):
        taken = min(_NODES_PER_LONG_JOB, nodes - number * _NODES_PER_LONG_JOB)
        hours = 12 + 5 * number % 24
        yield _job(arrival_s, taken * slots, hours * _HOUR_S)


def _waiting(
    numbers: Sequence[int], nodes: int, slots: int, arrival_s: float
) -> Iterator[dict[str, float]]:
    for number in numbers:
        taken = max(1, nodes >> number % 6)
        hours = 1 + 7 * number % 36
        yield _job(arrival_s, taken * slots, hours * _HOUR_S)


def _job(arrival_s: float, width: int, requested_s: float) -> dict[str, float]:
    # None ends before the measurement, whatever it asked for.
    return {
        "arrival_s": arrival_s,
        "width": width,
        "runtime_s": requested_s,
        "requested_s": requested_s,
    }


def submit_command() -> tuple[str, ...]:
    """Return the command that submits, and notes CPU times in USAGE_FILE for ever.

    A line has the seconds since the guest's boot, those of them in which it idled, and then, for
    each service, its name and its CPU time (us). No process is started for it, which would cost
    more than an idle guest does meanwhile.
    """
    never = f"{guest.FOLDER}/sampling"
    script = f"""
mkfifo {never}
while :; do
    read -r up idle </proc/uptime
    line="$up"$'\\t'"$idle"
    for file in {SERVICES}/*/cpu.stat; do
        read -r _ used <"$file"
        file=${{file%/cpu.stat}}
        line+=$'\\t'"${{file##*/}}"$'\\t'"$used"
    done
    printf '%s\\n' "$line" >>{USAGE_FILE}
    read -rt {SAMPLE_S:g} <>{never}
done &
exec "$@"
"""
    return ("bash", "-c", script, "bash", *guest.agent_command())


def parse_usage(text: str) -> list[UsageSample]:
    """Return the samples in USAGE_FILE's lines; BenchmarkError where one can't be read."""
    found = []
    for line in text.splitlines():
        try:
            up, idle, *units = line.split("\t")
            used = {
                name: float(value) / 1e6
                for name, value in zip(units[::2], units[1::2], strict=True)
            }
            agent_s = used.pop(AGENT)
            busy_s = float(up) - float(idle)
        except (KeyError, ValueError) as error:
            raise BenchmarkError("a guest's CPU times can't be read", line) from error
        found.append(UsageSample(float(up), busy_s, sum(used.values()), agent_s))
    return found
