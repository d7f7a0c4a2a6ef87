"""What Linux counts of this machine's load, and whose it is: readings, and the sample between two.

All counters grow from the boot on, so two readings tell all that was between them. CPU time is the
campaign's where a process descends from one of its own (driver, Ray, actors) or is the QEMU of one
of its nodes; whatever else was in use belongs to others. Processes that come and go between two
readings count as others': readings are seconds apart, and while jobs run ours start none.
"""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from campaign.core.host_load import LoadSample

RESOURCES = ("cpu", "memory", "io")
"""The files of /proc/pressure."""
_BUSY = (0, 1, 2, 5, 6)
"""The columns of /proc/stat that count work: user, nice, system, irq, softirq. Guests' time is part
of user time already; idle time, waiting for disks and stolen time are no work."""
_PARENT = 1  # of /proc/PID/stat, counted after the command name
_USER_TICKS = 11
_SYSTEM_TICKS = 12
_START_TICKS = 19

Process = tuple[int, int]
"""A pid and when it started (ticks since the boot): together they are never used again."""


@dataclass(frozen=True)
class HostReading:
    """The counters of a machine at one moment (`at_s`, monotonic); what is unknown is missing.

    All values are seconds since the boot: `busy_s` is the CPU time in use, `pressure_s` the time in
    which some task waited, by resource, and `own_s` the CPU time of each of the campaign's
    processes, None where its nodes can't be seen. `threads_s` has for each thread of a node how
    long it ran and how long it waited for a CPU.
    """

    at_s: float
    cpus: int
    busy_s: float
    pressure_s: Mapping[str, float] = field(default_factory=dict)
    own_s: Mapping[Process, float] | None = None
    threads_s: Mapping[Process, tuple[float, float]] = field(default_factory=dict)


def sample_between(before: HostReading, after: HostReading) -> LoadSample:
    """Return how busy the machine was between two readings."""
    seconds = max(after.at_s - before.at_s, 1e-9)
    own_s = None
    if before.own_s is not None and after.own_s is not None:
        own_s = sum(
            # A process that has begun meanwhile can't have used more than there was.
            min(used_s - before.own_s.get(process, 0.0), seconds * after.cpus)
            for process, used_s in after.own_s.items()
        )
    # Counters are read one after the other, and in ticks, so a difference may leave its bounds.
    foreign_s = None
    if own_s is not None:
        left_s = after.busy_s - before.busy_s - own_s
        foreign_s = min(max(0.0, left_s), seconds * after.cpus)
    begun = {thread: before.threads_s.get(thread, (0.0, 0.0)) for thread in after.threads_s}
    ran_s = sum(after.threads_s[one][0] - ran for one, (ran, _) in begun.items())
    waited_s = sum(after.threads_s[one][1] - waited for one, (_, waited) in begun.items())

    def pressure(name: str) -> float | None:
        if name not in before.pressure_s or name not in after.pressure_s:
            return None
        return min(1.0, max(0.0, (after.pressure_s[name] - before.pressure_s[name]) / seconds))

    return LoadSample(
        ago_s=0.0,
        seconds=seconds,
        cpus=after.cpus,
        cpu=pressure("cpu"),
        memory=pressure("memory"),
        io=pressure("io"),
        foreign_cpus=None if foreign_s is None else foreign_s / seconds,
        own_cpus=(own_s or 0.0) / seconds,
        # A kernel that doesn't count waiting says 0 for both.
        waited_s=waited_s if ran_s > 0 else None,
        ran_s=ran_s,
    )


class HostReader:
    """Reads the counters of this machine below `root`/proc.

    `own` are processes of the campaign, whose descendants are its own, too. `nodes` returns the
    names of the domains that the campaign has started and not ended.
    """

    def __init__(
        self,
        own: Collection[int],
        nodes: Callable[[], Collection[str]] = tuple,
        *,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own = own
        self._nodes = nodes
        self._proc = root / "proc"
        self._clock = clock
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._domains: dict[Process, str] = {}  # of every QEMU that was seen
        self._ours: set[Process] = set()  # QEMUs of nodes of the campaign, ended ones too

    def read(self) -> HostReading:
        """Return the counters as they are now; OSError or ValueError if /proc/stat is missing."""
        lines = (self._proc / "stat").read_text(encoding="ascii").splitlines()
        ticks = [int(value) for value in lines[0].split()[1:]]
        own, nodes = self._own_processes()
        return HostReading(
            at_s=self._clock(),
            cpus=sum(line.startswith("cpu") for line in lines) - 1,
            busy_s=sum(ticks[column] for column in _BUSY) / self._ticks_per_s,
            pressure_s=self._pressure(),
            own_s=own,
            threads_s=self._threads(nodes),
        )

    def _pressure(self) -> dict[str, float]:
        found = {}
        for name in RESOURCES:
            # Absent before Linux 4.20, refused where pressure is switched off (psi=0).
            with contextlib.suppress(OSError, ValueError):
                text = (self._proc / "pressure" / name).read_text(encoding="ascii")
                found[name] = pressure_s(text)
        return found

    def _own_processes(self) -> tuple[dict[Process, float] | None, list[int]]:
        """Return the CPU seconds of the campaign's processes, and the pids of its nodes' QEMUs."""
        table: dict[int, tuple[Process, int, float]] = {}
        seen: dict[Process, str] = {}
        for entry in os.scandir(self._proc):
            if not entry.name.isdigit():
                continue
            pid = int(entry.name)
            with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
                text = (self._proc / entry.name / "stat").read_text("utf-8", "replace")
                name, parent, used_s, started = self._parsed(text)
                table[pid] = ((pid, started), parent, used_s)
                if "qemu" in name:
                    seen[(pid, started)] = self._domains.get((pid, started)) or self._domain(pid)
        self._domains = seen
        wanted = set(self._nodes())
        self._ours |= {process for process, domain in seen.items() if domain in wanted}
        self._ours &= seen.keys()
        # Processes of other users may be hidden (hidepid), and those outside of a container are.
        if 1 not in table or (wanted and not self._ours):
            return None, []
        ours = _descendants(self._own, {pid: parent for pid, (_, parent, _) in table.items()})
        ours |= {pid for pid, _ in self._ours}
        return {table[pid][0]: table[pid][2] for pid in ours}, [pid for pid, _ in self._ours]

    def _parsed(self, stat: str) -> tuple[str, int, float, int]:
        # The command name stands in parentheses and may itself hold spaces and parentheses.
        end = stat.rindex(")")
        fields = stat[end + 1 :].split()
        used = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
        name = stat[stat.index("(") + 1 : end]
        return name, int(fields[_PARENT]), used / self._ticks_per_s, int(fields[_START_TICKS])

    def _domain(self, pid: int) -> str:
        with contextlib.suppress(OSError):
            words = (self._proc / str(pid) / "cmdline").read_text("utf-8", "replace").split("\0")
            name = dict(pairwise(words)).get("-name", "")
            return name.partition(",")[0].removeprefix("guest=")
        return ""

    def _threads(self, pids: Collection[int]) -> dict[Process, tuple[float, float]]:
        found = {}
        for pid in pids:
            with contextlib.suppress(OSError, ValueError, IndexError):
                for task in (self._proc / str(pid) / "task").iterdir():
                    fields = (task / "schedstat").read_text(encoding="ascii").split()
                    found[(pid, int(task.name))] = (int(fields[0]) / 1e9, int(fields[1]) / 1e9)
        return found


def pressure_s(text: str) -> float:
    """Return for how many seconds since the boot some task waited, by a file of /proc/pressure.

    Raises ValueError where the text doesn't say.
    """
    for line in text.splitlines():
        kind, *pairs = line.split()
        if kind == "some":
            return int(dict(pair.split("=") for pair in pairs)["total"]) / 1e6
    raise ValueError("no line begins with 'some'")


def _descendants(roots: Collection[int], parents: Mapping[int, int]) -> set[int]:
    """Return the roots that live, and all processes below them."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    left = [pid for pid in roots if pid in parents]
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, [])
    return found
