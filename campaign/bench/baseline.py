"""The baseline of our speed: AccaSim, a public simulator, with the same jobs on the same nodes.

C. Galleguillos, Z. Kiziltan, A. Netti, R. Soto: AccaSim: a customizable workload management
simulator for job dispatching research in HPC systems, Cluster Computing 23, 2020; version 1.1.3.
Its own EASY backfilling (`shipped`) lets later jobs take the nodes that it reserves for the first
one, which can delay that one; `textbook` is EASY backfilling (Lifka 1995) on AccaSim's interface
for dispatchers, with its loop and its allocator.

AccaSim has a process of its own (`python -m campaign.bench.baseline FOLDER NODES KIND`): it needs
names that Python 3.10 took out of `collections`, and shares no memory with our engine.
"""

import collections
import collections.abc
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from campaign.core.errors import BenchmarkError, command_failed

if TYPE_CHECKING:
    import pyarrow as pa

    from campaign.bench.simulation_table import SimulatorRun

DispatcherKind = Literal["textbook", "shipped"]

HOW = "AccaSim isn't installed: pip install 'hpc-campaign[bench]' (or -e '.[bench]' in the sources)"
TRACE = "jobs.swf"
MACHINE = "machine.json"


def installed() -> bool:
    """Return whether AccaSim is installed."""
    return importlib.util.find_spec("accasim") is not None


def run_accasim(
    jobs: "pa.Table", nodes: int, kind: DispatcherKind, *, timeout_s: float
) -> "SimulatorRun | None":
    """Simulate jobs (WORKLOAD_SCHEMA, whole seconds) on `nodes` nodes of one slot each.

    Returns None if that takes more than `timeout_s`. Only AccaSim's loop is timed, which reads the
    trace as it goes. Raises BenchmarkError when AccaSim fails.
    """
    import numpy as np

    from campaign.bench.simulation_table import SimulatorRun
    from campaign.core.jobs import Workload
    from campaign.workloads.swf import write_swf

    with TemporaryDirectory() as folder:
        write_swf(Workload("jobs", jobs, machine_slots=nodes), Path(folder) / TRACE)
        command = [sys.executable, "-m", "campaign.bench.baseline", folder, str(nodes), kind]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return None
    if done.returncode:
        raise BenchmarkError(
            f"AccaSim ({kind}) failed",
            command_failed(command, done.returncode, done.stderr),
        )
    # AccaSim may print lines of its own before it.
    reply = json.loads(done.stdout.splitlines()[-1])
    starts = [reply["starts"].get(str(job)) for job in jobs.column("job_id").to_pylist()]
    if None in starts:
        raise BenchmarkError(
            f"AccaSim ({kind}) started {len(reply['starts'])} of {len(starts)} jobs"
        )
    starts_ns = np.array(starts, np.int64) * 1_000_000_000  # it counts in whole seconds
    return SimulatorRun(reply["cpu_s"], reply["elapsed_s"], starts_ns, nodes=True)


def chosen(now: int, free: int, waiting: Sequence[Any], running: Sequence[Any]) -> list[Any]:
    """Return the jobs that EASY backfilling starts now on `free` nodes, of those `waiting`.

    The jobs are AccaSim's objects.
    """
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
    """Return when so wide a job will fit, by the running jobs' limits, and the nodes left then."""
    shadow = None
    for end, released in ends:
        # What else ends at the shadow time itself is free by then too.
        if shadow is not None and end > shadow:
            break
        free += released
        if shadow is None and free >= width:
            shadow = end
    if shadow is None:
        raise ValueError("the job is wider than the machine")
    return shadow, free - width


def _textbook() -> Any:
    """Return the dispatcher that decides by `chosen`."""
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
            # AccaSim wants an answer for each job; one without nodes goes on waiting.
            return [places.get(job.id, (None, job.id, [])) for job in jobs], []

    return TextbookEasy()


def _shipped() -> Any:
    """Return AccaSim's own EASY backfilling."""
    from accasim.base.allocator_class import FirstFit
    from accasim.base.scheduler_class import EASYBackfilling, JobVerification

    return EASYBackfilling(FirstFit(), job_check=JobVerification.CHECK_TOTAL)


def _timed(folder: Path, dispatcher: Any) -> dict[str, Any]:
    """Run AccaSim on the folder's jobs; return when each of them started, and the loop's times."""
    from accasim.base.simulator_class import Simulator

    results: dict[str, Any] = {"starts": {}}

    class TimedSimulator(Simulator):  # type: ignore[misc]  # AccaSim has no types
        def start_hpc_simulation(self, **more: Any) -> None:
            elapsed = time.perf_counter()
            cpu = time.process_time()
            super().start_hpc_simulation(**more)
            results["elapsed_s"] = time.perf_counter() - elapsed
            results["cpu_s"] = time.process_time() - cpu

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
    # AccaSim's own outputs are off, so starts are noted where it reports a job's end.
    finish = simulator.mapper.finish_event

    def note_start(job: Any) -> None:
        results["starts"][job.id] = job.start_time
        finish(job)

    simulator.mapper.finish_event = note_start
    simulator.start_simulation()
    return results


def _main(folder: Path, nodes: int, kind: str) -> None:
    collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
    one_slot = {"groups": {"node": {"core": 1}}, "resources": {"node": nodes}}
    machine = {"start_time": 0, "equivalence": {"processor": {"core": 1}}, **one_slot}
    (folder / MACHINE).write_text(json.dumps(machine), encoding="utf-8")
    results = _timed(folder, {"textbook": _textbook, "shipped": _shipped}[kind]())
    sys.stdout.write(f"{json.dumps(results)}\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
