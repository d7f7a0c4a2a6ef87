"""A machine's /proc that behaves: programs share its CPUs fairly, and its counters say so.

What the files look like was recorded on Linux 6.18.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Program:
    """A process of `threads` threads that all want to compute; `node` is the domain of a QEMU."""

    pid: int
    parent: int = 1
    threads: int = 1
    node: str = ""
    name: str = "busy (loop)"
    started: int = 4711
    used_s: float = field(default=0.0, init=False)
    waited_s: float = field(default=0.0, init=False)

    @property
    def arguments(self) -> list[str]:
        if not self.node:
            return ["loop"]
        return ["/usr/bin/qemu-system-x86_64", "-name", f"guest={self.node},debug-threads=on", "-S"]


class FakeMachine:
    """Programs on `cpus` CPUs, and the files below `root`/proc after each `advance`."""

    def __init__(self, root: Path, cpus: int = 2) -> None:
        self.root = root
        self.cpus = cpus
        self.now = 1000.0
        self.programs = {1: Program(1, parent=0, threads=0, name="init")}
        self.pressure = {"cpu": 10.0, "memory": 0.0, "io": 0.5}
        self.counts_waiting = True
        self._used_s = 300.0
        self.write()

    def run(self, program: Program) -> Program:
        self.programs[program.pid] = program
        self.write()
        return program

    def end(self, pid: int) -> None:
        """End a program, whose files are gone."""
        del self.programs[pid]
        for path in sorted((self.root / "proc" / str(pid)).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (self.root / "proc" / str(pid)).rmdir()
        self.write()

    def advance(self, seconds: float) -> None:
        """Let time pass, in which every thread that wants a CPU gets an equal share."""
        wanting = sum(one.threads for one in self.programs.values())
        share = min(1.0, self.cpus / wanting) if wanting else 1.0
        for one in self.programs.values():
            one.used_s += one.threads * share * seconds
            one.waited_s += one.threads * (1 - share) * seconds
        self._used_s += min(self.cpus, wanting) * seconds
        if "cpu" in self.pressure and share < 1:
            self.pressure["cpu"] += seconds
        self.now += seconds
        self.write()

    def write(self) -> None:
        proc = self.root / "proc"
        ticks = round(self._used_s * TICKS_PER_S)
        cpu = f"{ticks - 90} 20 60 99999 77 4 6 55 {ticks // 2} 0"
        lines = [f"cpu  {cpu}", *(f"cpu{n} {cpu}" for n in range(self.cpus)), "intr 1 2 3"]
        _put(proc / "stat", "\n".join(lines))
        for name, waited_s in self.pressure.items():
            _put(
                proc / "pressure" / name,
                f"some avg10=1.00 avg60=2.00 avg300=3.00 total={round(waited_s * 1e6)}\n"
                "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            )
        for one in self.programs.values():
            used = round(one.used_s * TICKS_PER_S)
            folder = proc / str(one.pid)
            name = "qemu-system-x86" if one.node else one.name
            numbers = f"{one.parent} 1 1 0 -1 4194560 1 2 3 4 {used - 3} 3 0 0 20 0 {one.threads} 0"
            _put(folder / "stat", f"{one.pid} ({name}) S {numbers} {one.started} 99 1")
            _put(folder / "cmdline", "\0".join([*one.arguments, ""]))
            for thread in range(one.threads if one.node else 0):
                counted = (one.used_s, one.waited_s) if self.counts_waiting else (0, 0)
                times = " ".join(str(round(value / one.threads * 1e9)) for value in counted)
                _put(folder / "task" / str(one.pid + thread) / "schedstat", f"{times} 17\n")


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")
