"""What the engine decides where the real Slurm decided, given the state that the real one had.

`python -m tests.unit.campaign.simulation.decisions NAME..` replays measured trials: jobs come,
begin and end when they did, on the nodes that they had. At each moment at which jobs began, the
engine makes a run of each kind from that state, on a copy; the one that is more like the real one
is compared. It prints a line of JSON for each trial. NUMBA_DISABLE_JIT=1 makes it quick: so little
is not worth compiling.
"""

import copy
import heapq
import json
import sys
from dataclasses import asdict, dataclass, replace

import numpy as np

from campaign.core.trials import Trial
from campaign.simulation import beats, engine, site_loop
from campaign.simulation import site_simulate as simulation
from campaign.simulation.engine import NS, Delays
from campaign.simulation.site_arrays import ENDED, NEXT_CHANGE, RUNS
from campaign.simulation.site_backfilling import backfill
from campaign.simulation.site_choosing import room_of
from campaign.simulation.site_crowd import crowd_of, keeps_accounts
from campaign.simulation.site_in_order import run_in_order
from campaign.simulation.site_people import let_in, ranked
from campaign.simulation.site_running import begin, enqueue, leave_queue, news
from campaign.simulation.testbed import SimulationTestbed
from tests.unit.campaign.simulation.measured import FOLDER, Measured

LAUNCH_S = {1: 0.03, 2: 0.1, 3: 0.13}
"""From a decision to a job's start, by its nodes."""
RELEASE_S = 0.02
AT_ONCE_S = 0.06
"""Starts so near to each other are of one run."""
LONG = 1 << 62


@dataclass
class Agreement:
    """Of so many starts, those that the engine decides too, on the same nodes; and others."""

    name: str
    starts: int = 0
    started: int = 0
    on_the_same_nodes: int = 0
    others: int = 0


class Replay:
    """A trial's jobs as they were, in the engine's arrays."""

    def __init__(self, trial: Measured) -> None:
        composed = trial.composed("simulation")
        parts = (composed.campaign, composed.schedulers, composed.space)
        workload = trial.workload(composed)
        testbed = SimulationTestbed(*parts, workload)
        point = dict(composed.baseline.point)
        topology = testbed._topology(testbed._nodes(Trial(number=0, point=point)))
        policy = testbed.policy(composed.space.scheduler(point), composed.space.params(point))
        delays = replace(
            Delays(kernel_s=0.004, release_s=RELEASE_S),
            clock_s=testbed._delays.clock_s,
            lead_s=testbed._delays.lead_s,
        )
        known = simulation.site_jobs(workload, topology, policy, delays)
        site, _ = simulation._site(known, workload, topology, policy, delays, False)
        self.clock = delays.clock_s
        self.jobs = trial.jobs()
        came = self.seconds("accepted_ns") - RELEASE_S
        self.live = simulation._live(site, (came * NS).astype(np.int64), 0, whole_seconds=True)
        loop, self.beat = engine._clockwork(policy, delays, whole=True)
        self.release = loop.release
        crowd = crowd_of(site, workload, topology, policy, delays, self.live.submit)
        if keeps_accounts(topology.model):
            site.jobs.account[:] = crowd.factors.association
            most = int(site.jobs.account.max(initial=0)) + 1
            site.rules.people[0] = max(site.rules.people[0], most)
        self.site = site
        self.crowd = crowd
        self.room = room_of(site.total.size)
        self.ends: list[tuple[int, int]] = []
        self.returns: list[tuple[int, int]] = []
        self.arrived = 0
        place = {node.name: at for at, node in enumerate(topology.compute)}
        self.nodes = [
            sorted(place[name] for name in row) for row in self.jobs["node_names"].to_pylist()
        ]
        beats.start_clock(self.live.state, loop)

    def seconds(self, column: str) -> np.ndarray:
        """By the scheduler's clock."""
        return np.asarray(self.jobs[column].to_numpy(), np.float64) / NS + self.clock

    def advance(self, until: int) -> None:
        """Let come and go what does until then."""
        live, site, state = self.live, self.site, self.live.state
        while True:
            coming = live.submit[self.arrived] if self.arrived < live.submit.size else LONG
            now = int(min(coming, self.ends[0][0] if self.ends else LONG))
            if state[NEXT_CHANGE] < site.changes.size:
                now = min(now, int(site.changes.time[state[NEXT_CHANGE]]))
            if now > until:
                break
            now = max(now, int(state[beats.TIME]))
            state[beats.TIME] = now
            ranked(site, live, self.crowd, now)
            while self.ends and self.ends[0][0] <= now:
                site_loop._leave(site, live, self.crowd, self.ends, self.returns, now)
            site_loop._change_nodes(site, live, self.crowd, self.ends, self.returns, now)
            while self.arrived < live.submit.size and live.submit[self.arrived] <= now:
                if let_in(live, self.crowd, self.arrived, now):
                    enqueue(live, self.arrived)
                    news(live)
                else:
                    live.jobs.status[self.arrived] = ENDED
                self.arrived += 1
        state[beats.TIME] = until
        ranked(site, live, self.crowd, until)
        site_loop._count_leaving(site, live, self.ends, self.release, until)

    def decided(self, kind: str) -> dict[int, list[int]]:
        """Return the jobs that a run of the kind would start now, with their nodes."""
        live, crowd, ends, room = copy.deepcopy((self.live, self.crowd, self.ends, self.room))
        before = live.jobs.start.copy()
        now = int(live.state[beats.TIME]) // NS * NS
        if kind == "in order":
            run_in_order(self.site, live, crowd, room, None, ends, now, True)
        else:
            backfill(self.site, live, crowd, room, None, None, ends, self.beat, now)
        begun = np.flatnonzero((live.jobs.start != before) & (live.jobs.status == RUNS))
        return {int(job): sorted(live.places.nodes[self._places(job)].tolist()) for job in begun}

    def _places(self, job: int) -> slice:
        place = self.site.jobs.place[job]
        return slice(place, place + self.site.jobs["count"][job])

    def begin(self, job: int, end_s: float) -> None:
        """Let the job begin on the nodes that it had, and end when it did."""
        live, site = self.live, self.site
        left = int(site.jobs.width[job])
        cards = int(site.jobs.gpus[job])
        nodes = self.nodes[job]
        for at, node in enumerate(nodes, self._places(job).start):
            others = len(nodes) - 1 - (at - self._places(job).start)
            live.places.nodes[at] = node
            live.places.amounts[at] = min(max(1, left - others), live.free.slots[node])
            live.places.cards[at] = min(max(0, cards - others), live.free.gpus[node])
            left -= live.places.amounts[at]
            cards -= live.places.cards[at]
        begin(site, live, self.crowd, self.ends, job, int(live.state[beats.TIME]) // NS * NS)
        live.jobs.end[job] = int(end_s * NS)
        live.jobs.freed[job] = int((end_s + RELEASE_S) * NS)
        heapq.heappush(self.ends, (int(live.jobs.freed[job]), job))
        leave_queue(live)


def moments(replay: Replay) -> list[tuple[float, str, list[int]]]:
    """Return when which jobs were decided to begin, and by which kind of run.

    Runs in order are made just after a whole second.
    """
    found: list[tuple[float, str, list[int]]] = []
    rows = []
    for job, start in enumerate(replay.seconds("start_ns")):
        if np.isnan(start):
            continue
        in_order = 0.015 < start % 1 < 0.24
        launch_s = LAUNCH_S.get(len(replay.nodes[job]), LAUNCH_S[3])
        time = np.floor(start) + 0.003 if in_order else start - launch_s
        rows.append((time, "in order" if in_order else "backfill", job))
    for time, kind, job in sorted(rows):
        if found and time - found[-1][0] < AT_ONCE_S:
            found[-1][2].append(job)
        else:
            found.append((time, kind, [job]))
    return found


def compare(name: str) -> Agreement:
    """Return how far the engine decides as the real one did."""
    replay = Replay(Measured(FOLDER / name))
    ends = replay.seconds("end_ns")
    found = Agreement(name)
    for time, kind, jobs in moments(replay):
        wanted = {job: replay.nodes[job] for job in jobs}
        used = set().union(*wanted.values())
        leaving = [
            end
            for job, end in enumerate(ends)
            if 0 <= end + RELEASE_S - time <= AT_ONCE_S and used & set(replay.nodes[job])
        ]
        # A run's time is known no better than what launching takes.
        replay.advance(int((max(leaving) + RELEASE_S if leaving else time) * NS))
        kinds = (kind, "backfill" if kind == "in order" else "in order")
        runs = [replay.decided(one) for one in kinds]
        best = max(runs, key=lambda run: len(wanted.keys() & run) - len(run.keys() - wanted))
        found.starts += len(wanted)
        found.started += len(wanted.keys() & best)
        found.on_the_same_nodes += sum(best.get(job) == nodes for job, nodes in wanted.items())
        found.others += len(best.keys() - wanted)
        for job in jobs:
            replay.begin(job, float(ends[job]))
    return found


if __name__ == "__main__":
    for one in sys.argv[1:]:
        sys.stdout.write(json.dumps(asdict(compare(one))) + "\n")
