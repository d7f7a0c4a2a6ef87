"""Replaying on nodes that behave: what is pending, which daemon died, how long is waited."""

import asyncio
import shlex
import time
from dataclasses import replace
from itertools import count, repeat
from types import SimpleNamespace

import pyarrow as pa
import pytest

from actors.bootstrap.ssh import Output
from actors.clusters import replay as module
from actors.clusters.health import SchedulerDied
from actors.clusters.job_records import MISSING_LOG, SCRIPTS, job_files
from actors.clusters.limits import PhaseLimit
from actors.clusters.replay import Replay, WorkloadUnfinished, first_job_s
from actors.clusters.stall import StallWatch
from campaign import guest
from campaign.core.errors import InfrastructureError, StallError
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.time_limits import TimeLimits
from campaign.images.debian import builder
from campaign.schema.workload import WorkloadSettings
from campaign.workloads import load
from campaign.workloads.traits import traits_of
from schedulers.base import Node, Topology
from schedulers.facts import ImageFacts
from schedulers.registry import adapter
from schedulers.systemd_fake import FakeSystemd
from tests.adapters import bound
from tests.fakes.clock import RecordingClock

SLURM = bound("slurm")
TOPOLOGY = Topology(
    "c", (Node("head", "head", "10.42.0.1", 0, 512), Node("n1", "compute", "10.42.0.2", 4, 512))
)
WORKLOAD = load(WorkloadSettings(jobs=4), slots=4)
UNITS = {
    "head": {"munge.service", "slurmctld.service"},
    "compute": {"munge.service", "slurmd.service"},
}
"""The daemons of a healthy node, by its role."""
QUESTIONS = TimeLimits()
PATIENT = StallWatch(float("inf"))
GIVEN_UP = (
    "JobId=3 JobState=NODE_FAIL StartTime=2026-11-23T00:27:21 EndTime=2026-11-23T00:27:23 "
    "NodeList=n1 NodeCnt=1"
)


ACCOUNTED = adapter("slurm").for_image(
    ImageFacts("slurm-accounting", builder.spec("slurm-accounting").facts)
)
"""Slurm with slurmdbd."""
JOB_LOG = ACCOUNTED.job_log(guest.STARTED_FILE)


class FakeShell:
    """The clock of a node whose time is ours."""

    def __init__(self):
        self.stdin = SimpleNamespace(write=lambda _: None)
        self.stdout = SimpleNamespace(readline=self._answer)

    async def _answer(self):
        return f"{time.time():.6f}\n"


class FakeNode:
    """Answers the replay's questions: `pending` gives what the queue shows, one entry per question;
    None while the agent submits, an int for so many jobs, text for a client that fails with it. Its
    systemd runs the daemons of its role; those of Slurm are dead on one that isn't `alive`."""

    def __init__(self, node, pending=(), alive=True, logs=None):
        self.node = node
        self.running = (
            UNITS["head" if node == "head" else "compute"] if alive else {"munge.service"}
        )
        self.logs = logs or {}
        self._pending = iter(pending)
        self.put_files = {}

    async def renew(self, deadline):
        pass

    async def put(self, files, *, timeout_s):
        self.put_files |= {file.path: file for file in files}

    async def get(self, path, *, timeout_s, limit=0):
        return self.logs.get(path, b"")

    async def fetch(self, paths, *, timeout_s):
        return {path: self.logs[path] for path in paths if path in self.logs}

    async def open_shell(self, command):
        assert command == guest.clock_command()
        return FakeShell()

    async def run(self, command, *, timeout_s, stdin=None):
        own = [node for node in TOPOLOGY.nodes if node.name == self.node]
        if command == SLURM.health_command(own):
            with FakeSystemd() as systemd:
                done = systemd.run(command, self.running)
            return Output(done.returncode, done.stdout, "")
        assert guest.DONE_FILE in command[-1] and shlex.join(SLURM.pending_command()) in command[-1]
        match next(self._pending):
            case None:
                return Output(1, "", "")
            case int(count):
                return Output(
                    0, "".join(f"{number}|R|None\n" for number in range(1, count + 1)), ""
                )
            case str(listing) if "|" in listing:
                return Output(0, listing, "")
            case text:
                return Output(1, "", text)


def replay(head, compute=None, clock=None, questions=QUESTIONS, scheduler=SLURM):
    remotes = {"head": head, "n1": compute or FakeNode("n1")}
    return Replay(
        WORKLOAD, scheduler, TOPOLOGY, remotes, clock or RecordingClock(), questions=questions
    )


@pytest.fixture
def hurried(monkeypatch):
    """The replay asks as fast as it can."""
    monkeypatch.setattr(module, "POLL_INTERVAL_S", 0.0)
    monkeypatch.setattr(module, "POLL_SHARE", 0.0)


@pytest.mark.parametrize(
    ("answer", "pending"),
    [
        (0, {}),
        (2, {"1": "", "2": ""}),
        (None, None),
        ("slurm_load_jobs error: Socket timed out\n", None),
    ],
)
def test_pending_jobs(answer, pending):
    assert asyncio.run(replay(FakeNode("head", [answer]))._pending(60.0)) == pending


def test_a_failing_client_with_a_dead_daemon_is_a_dead_scheduler():
    log = SLURM.log_files(TOPOLOGY.head)[0]
    head = FakeNode(
        "head",
        ["Unable to contact slurm controller\n"],
        alive=False,
        logs={log: b"fatal: out of memory"},
    )
    with pytest.raises(SchedulerDied, match="head: a daemon of slurm died") as caught:
        asyncio.run(replay(head)._pending(60.0))
    assert "fatal: out of memory" in caught.value.details


def test_each_node_is_asked_for_the_daemons_of_its_role():
    checked = replay(FakeNode("head"), FakeNode("n1"))
    asyncio.run(checked._health.check())
    with pytest.raises(
        SchedulerDied, match=r"n1: a daemon of slurm died \(slurmd.service: inactive\)"
    ):
        asyncio.run(replay(FakeNode("head"), FakeNode("n1", alive=False))._health.check())


@pytest.mark.parametrize("health_s", [-1.0])
def test_a_dead_node_daemon_is_noticed_while_jobs_run(hurried, monkeypatch, health_s):
    monkeypatch.setattr(module, "HEALTH_INTERVAL_S", health_s)
    with pytest.raises(SchedulerDied, match="n1: a daemon"):
        asyncio.run(
            replay(FakeNode("head", repeat(2)), FakeNode("n1", alive=False))._finish(
                float("inf"), PATIENT
            )
        )


def test_health_is_asked_about_within_fifteen_seconds_of_a_death(hurried, monkeypatch):
    passed = count(1000)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(passed)))
    made = replay(FakeNode("head", repeat(2)), FakeNode("n1", alive=False))
    with pytest.raises(SchedulerDied, match="n1: a daemon"):
        asyncio.run(made._finish(1015, PATIENT))


def test_it_waits_until_nothing_is_pending_and_says_how_far_it_is(hurried):
    clock = RecordingClock()
    asyncio.run(
        replay(FakeNode("head", [None, 4, "busy", 1, 0]), clock=clock)._finish(
            float("inf"), PATIENT
        )
    )
    assert clock.details == [
        "0 of 4 jobs done, still submitting",
        "0 of 4 jobs done",
        "0 of 4 jobs done, still submitting",
        "3 of 4 jobs done",
    ]


@pytest.mark.parametrize(("pending", "left"), [(2, "2 of 4"), (None, "4 of 4")])
def test_a_workload_beyond_its_deadline_is_unfinished(hurried, pending, left):
    with pytest.raises(WorkloadUnfinished, match=f"{left} jobs are left") as caught:
        asyncio.run(replay(FakeNode("head", repeat(pending)))._finish(0.0, PATIENT))
    assert "cluster.workload_deadline_s" in caught.value.resolution


def test_jobs_that_wait_while_nothing_happens_are_a_stall_with_its_reasons(hurried):
    halted = "1|R|None\n2|PD|Resources\n3|PD|Priority\n4|PD|Priority\n"
    with pytest.raises(StallError, match=r"1 jobs run and 3 wait: Priority \(2\); Resources \(1\)"):
        asyncio.run(replay(FakeNode("head", repeat(halted)))._finish(float("inf"), StallWatch(0.0)))


def test_nothing_is_asked_of_a_lost_node_any_more(hurried):
    at_once = TimeLimits(loss_s=0.0)

    class Head(FakeNode):
        async def run(self, command, *, timeout_s, stdin=None):
            assert tuple(command) == SLURM.lost_command("n1")
            return Output(0, "", "")

        async def succeed(self, command, *, timeout_s):
            assert tuple(command) == SLURM.accounting_command()
            return GIVEN_UP

    made = replay(Head("head"), FakeNode("n1"), questions=at_once)
    asyncio.run(made.prepare())
    assert asyncio.run(made.lose("n1")) == "slurm reports of the jobs that ended: NODE_FAIL (1)"
    assert set(asyncio.run(made._offsets())) == {"head"}
    assert made._record("n1", guest.JOBS_FILE) == ""


def test_a_scheduler_that_cannot_be_told_of_a_loss_is_told_again(hurried):
    class Head(FakeNode):
        tries = 0

        async def run(self, command, *, timeout_s, stdin=None):
            self.tries += 1
            return Output(
                int(self.tries < 3), "", "slurm_update error: Unable to contact slurm controller"
            )

        async def succeed(self, command, *, timeout_s):
            return GIVEN_UP if self.tries == 3 else ""

    made = replay(Head("head"), FakeNode("n1"))
    assert "NODE_FAIL (1)" in asyncio.run(made.lose("n1"))


def test_scripts_go_to_the_head_and_every_clock_is_read():
    head = FakeNode("head")
    compute = FakeNode("n1")
    made = replay(head, compute)
    asyncio.run(made.prepare())
    scripts = {f"{SCRIPTS}/{job.job_id}.sh" for job in WORKLOAD.jobs()}
    assert set(head.put_files) == scripts | {guest.SCHEDULE_FILE}
    assert compute.put_files == {}
    assert all(head.put_files[path].mode == 0o755 for path in scripts)
    assert len(head.put_files[guest.SCHEDULE_FILE].content.splitlines()) == 4
    assert set(made._before) == {"head", "n1"}


def test_a_job_of_a_burning_workload_burns_on_its_nodes():
    burning = replace(WORKLOAD, payload="burn")
    files = job_files(burning, SLURM, TOPOLOGY)
    scripts = {file.path: file.content.decode() for file in files}
    for job in burning.jobs():
        payload = guest.payload(job, "burn", 1, SLURM.payload_node(TOPOLOGY))
        assert payload in scripts[f"{SCRIPTS}/{job.job_id}.sh"]


def test_an_array_has_one_script_and_a_line_for_each_of_its_tasks():
    alike = [
        {"arrival_s": 0.0, "width": 1, "requested_s": 9.0, "user": 0, "runtime_s": n}
        for n in (1, 2, 3)
    ]
    rows = [row | {"job_id": number} for number, row in enumerate(alike, start=11)]
    table = pa.Table.from_pylist(rows, WORKLOAD_SCHEMA)
    traits = traits_of({"array": [5, None, 5], "array_limit": [1, None, 1]})
    told = Workload("w", table, traits=traits, obeyed=frozenset({"array", "array_limit"}))
    files = {file.path: file.content.decode() for file in job_files(told, SLURM, TOPOLOGY)}
    schedule = files.pop(guest.SCHEDULE_FILE).splitlines()
    assert list(files) == [f"{SCRIPTS}/11.sh", f"{SCRIPTS}/12.sh"]
    assert "run-job 11 1.0" in files[f"{SCRIPTS}/11.sh"]
    assert "run-job 13 3.0" in files[f"{SCRIPTS}/11.sh"]
    assert [line.split("\t")[1] for line in schedule] == ["11", "12", "13"]
    assert ["--array=0-1%1" in line for line in schedule] == [True, False, False]
    assert '"${ids[11]}"' in schedule[2]


def test_logs_come_from_every_node_that_still_answers():
    class Gone(FakeNode):
        async def fetch(self, paths, *, timeout_s):
            raise OSError("gone")

    log = SLURM.log_files(TOPOLOGY.head)[0]
    found = asyncio.run(replay(FakeNode("head", logs={log: b"text"}), Gone("n1")).logs())
    assert found == {f"logs/head{log}": b"text"}


class Accounting(FakeNode):
    """A head whose slurmdbd has told all of its jobs; writing them down ends as `ending` says."""

    def __init__(self, ending=None):
        super().__init__("head", [0], logs={guest.STARTED_FILE: b"1000000\n"})
        self._ending = ending

    async def succeed(self, command, *, timeout_s):
        return ""

    async def run(self, command, *, timeout_s, stdin=None):
        if command != JOB_LOG.command:
            return await super().run(command, timeout_s=timeout_s)
        if isinstance(self._ending, Exception):
            raise self._ending
        self.logs |= dict.fromkeys(JOB_LOG.files[self._ending is not None :], b"every job")
        return Output(0, self._ending or "", "")


def collected(head):
    """The files of a replay that has been run and collected."""

    async def live():
        made = replay(head, scheduler=ACCOUNTED)
        await made.prepare()
        await made.run(100.0, 100.0)
        await made.collect(PhaseLimit("collecting", "slurm", 60.0, "a test"))
        return await made.logs()

    return asyncio.run(live())


def test_the_schedulers_log_of_all_jobs_is_written_before_it_is_fetched(hurried, monkeypatch):
    monkeypatch.setattr(module, "LOG_BYTES", 3)
    found = collected(Accounting())
    assert found == {f"logs/head{path}": b"every job" for path in JOB_LOG.files}


@pytest.mark.parametrize(
    ("ending", "there"), [("sacct failed\n", 1), (InfrastructureError("no answer in time"), 0)]
)
def test_a_log_of_jobs_that_is_not_written_is_told_and_fails_nothing(hurried, ending, there):
    found = collected(Accounting(ending))
    assert found.pop(MISSING_LOG).decode().strip() == str(ending).strip()
    assert len(found) == there


def test_long_logs_are_cut_to_their_ends(monkeypatch):
    monkeypatch.setattr(module, "LOG_BYTES", 3)
    log = SLURM.log_files(TOPOLOGY.head)[0]
    found = asyncio.run(replay(FakeNode("head", logs={log: b"a long text"})).logs())
    assert found[f"logs/head{log}"] == b"ext"


def test_what_a_node_measured_is_missed_when_it_cannot_be_fetched():
    with pytest.raises(InfrastructureError, match="n1: its records of jobs"):
        replay(FakeNode("head"))._record("n1", guest.JOBS_FILE)


def test_the_first_job_is_the_one_that_starts_first():
    starts = pa.table({"start_ns": pa.array([None, 2_500_000_000, 1_500_000_000], pa.int64())})
    assert first_job_s(starts) == 1.5
    assert first_job_s(starts.slice(0, 1)) == 0.0
