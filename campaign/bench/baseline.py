"""AccaSim, a public simulator, runs the same jobs on the same nodes: what our speed is compared
with.

C. Galleguillos, Z. Kiziltan, A. Netti, R. Soto: AccaSim: a customizable workload management
simulator for job dispatching research in HPC systems, Cluster Computing 23, 2020; version 1.1.3.
Its own EASY backfilling (`shipped`) lets later jobs take the nodes that it reserves for the first
one, which can delay that one; `textbook` is EASY backfilling (Lifka 1995) on AccaSim's interface
for dispatchers, with its loop and its allocator.

AccaSim has a process of its own (`python -m campaign.bench.baseline FOLDER NODES KIND`): it needs
names that Python 3.10 took out of `collections`.
"""

import collections
import collections.abc
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from campaign.core.errors import CampaignError
from campaign.core.jobs import Workload
from campaign.simulation.engine import NS, Ns

Kind = Literal["textbook", "shipped"]

HOW = "AccaSim isn't installed: pip install 'hpc-campaign[bench]' (or -e '.[bench]' in the sources)"
TRACE = "jobs.swf"
MACHINE = "machine.json"


@dataclass(frozen=True)
class Simulated:
    """A simulator's work on some jobs: its CPU time and the time that passed, in seconds; each
    job's start, in ns; and whether it found out which nodes each job had."""

    cpu_s: float
    elapsed_s: float
    starts: Ns
    nodes: bool


def installed() -> bool:
    """Whether AccaSim is there."""
    return importlib.util.find_spec("accasim") is not None


def whole_seconds(jobs: pa.Table) -> pa.Table:
    """The jobs (WORKLOAD_SCHEMA) in the whole seconds in which AccaSim counts, none shorter than
    one."""
    runtime = np.maximum(np.rint(jobs.column("runtime_s").to_numpy()), 1.0)
    whole = {
        "arrival_s": np.floor(jobs.column("arrival_s").to_numpy()),
        "runtime_s": runtime,
        "requested_s": np.maximum(np.ceil(jobs.column("requested_s").to_numpy()), runtime),
    }
    columns = {name: whole.get(name, jobs.column(name)) for name in jobs.column_names}
    return pa.table(columns).cast(jobs.schema)


def run_rival(jobs: pa.Table, nodes: int, kind: Kind, *, limit_s: float) -> Simulated | None:
    """Simulate jobs (WORKLOAD_SCHEMA, whole seconds) on nodes of one slot; None if that takes more
    than `limit_s`.

    Only AccaSim's loop is timed, which reads the trace as it goes. Raises CampaignError when
    AccaSim fails.
    """
    from campaign.workloads.swf import write_swf

    with TemporaryDirectory() as folder:
        write_swf(Workload("jobs", jobs, machine_slots=nodes), Path(folder) / TRACE)
        command = [sys.executable, "-m", "campaign.bench.baseline", folder, str(nodes), kind]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return None
    if done.returncode:
        raise CampaignError(
            f"AccaSim ({kind}) failed with status {done.returncode}", done.stderr[-2000:]
        )
    told = json.loads(done.stdout.splitlines()[-1])
    starts = [told["starts"].get(str(job)) for job in jobs.column("job_id").to_pylist()]
    if None in starts:
        raise CampaignError(f"AccaSim ({kind}) started {len(told['starts'])} of {len(starts)} jobs")
    return Simulated(told["cpu_s"], told["elapsed_s"], np.array(starts, np.int64) * NS, nodes=True)


def chosen(now: int, free: int, waiting: Sequence[Any], running: Sequence[Any]) -> list[Any]:
    """The jobs that EASY backfilling starts now on `free` nodes, of those `waiting`; all AccaSim's
    objects."""
    started = []
    for job in waiting:
        if job.requested_nodes > free:
            break
        started.append(job)
        free -= job.requested_nodes
    if len(started) == len(waiting) or not free:
        return started
    first, *others = waiting[len(started) :]
    ends = [(job.start_time + job.expected_duration, job.requested_nodes) for job in running]
    ends += [(now + job.expected_duration, job.requested_nodes) for job in started]
    shadow, spare = _shadow(free, first.requested_nodes, sorted(ends))
    for job in others:
        brief = now + job.expected_duration <= shadow
        if job.requested_nodes <= (free if brief else min(free, spare)):
            started.append(job)
            free -= job.requested_nodes
            spare -= 0 if brief else job.requested_nodes
    return started


def _shadow(free: int, width: int, ends: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """When so wide a job will fit, by the running jobs' limits, and how many nodes it leaves
    then."""
    shadow = None
    for end, released in ends:
        if shadow is not None and end > shadow:
            break
        free += released
        if shadow is None and free >= width:
            shadow = end
    if shadow is None:
        raise ValueError("the job is wider than the machine")
    return shadow, free - width


def _textbook() -> Any:
    """The dispatcher that decides by `chosen`."""
    from accasim.base.allocator_class import FirstFit
    from accasim.base.scheduler_class import JobVerification, SchedulerBase

    class TextbookEasy(SchedulerBase):  # type: ignore[misc]  # AccaSim has no types
        name = "TextbookEasy"

        def __init__(self) -> None:
            super().__init__(0, allocator=None, job_check=JobVerification.CHECK_TOTAL)
            self._fit = FirstFit()

        def get_id(self) -> str:
            return self.name

        def scheduling_method(
            self, now: int, jobs: list[Any], known: dict[int, Any]
        ) -> tuple[list[Any], list[Any]]:
            machine = self.resource_manager
            self._fit.set_resource_manager(machine)
            running = [known[number] for number in machine.current_allocations]
            free = len(machine.node_names) - sum(job.requested_nodes for job in running)
            started = chosen(now, free, jobs, running)
            places = {}
            if started:
                self._fit.set_resources(machine.current_availability)
                given = self._fit.allocating_method(started, now, skip=False)
                places = {number: (when, number, nodes) for when, number, nodes in given}
            return [places.get(job.id, (None, job.id, [])) for job in jobs], []

    return TextbookEasy()


def _shipped() -> Any:
    """AccaSim's own EASY backfilling."""
    from accasim.base.allocator_class import FirstFit
    from accasim.base.scheduler_class import EASYBackfilling, JobVerification

    return EASYBackfilling(FirstFit(), job_check=JobVerification.CHECK_TOTAL)


def _timed(folder: Path, dispatcher: Any) -> dict[str, Any]:
    """Run AccaSim on the folder's jobs and machine, without any output: when each job started, and
    the loop's times."""
    from accasim.base.simulator_class import Simulator

    told: dict[str, Any] = {"starts": {}}

    class TimedSimulator(Simulator):  # type: ignore[misc]  # AccaSim has no types
        def start_hpc_simulation(self, **more: Any) -> None:
            elapsed = time.perf_counter()
            cpu = time.process_time()
            super().start_hpc_simulation(**more)
            told["elapsed_s"] = time.perf_counter() - elapsed
            told["cpu_s"] = time.process_time() - cpu

    quiet = dict.fromkeys(
        (
            "scheduling_output",
            "pprint_output",
            "benchmark_output",
            "statistics_output",
            "show_statistics",
        ),
        False,
    )
    where = {"RESULTS_FOLDER_PATH": str(folder), "LOG_LEVEL": "ERROR"}
    simulator = TimedSimulator(
        str(folder / TRACE), str(folder / MACHINE), dispatcher, **quiet, **where
    )
    finish = simulator.mapper.finish_event

    def noted(job: Any) -> None:
        told["starts"][job.id] = job.start_time
        finish(job)

    simulator.mapper.finish_event = noted
    simulator.start_simulation()
    return told


def _main(folder: Path, nodes: int, kind: str) -> None:
    collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
    one_slot = {"groups": {"node": {"core": 1}}, "resources": {"node": nodes}}
    machine = {"start_time": 0, "equivalence": {"processor": {"core": 1}}, **one_slot}
    (folder / MACHINE).write_text(json.dumps(machine), encoding="utf-8")
    told = _timed(folder, {"textbook": _textbook, "shipped": _shipped}[kind]())
    sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
