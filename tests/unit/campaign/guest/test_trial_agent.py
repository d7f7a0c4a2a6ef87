"""The agent of a guest in virtual time, as the program that it is, with a file as its exchange."""

import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.bootstrap.apply import script_of
from actors.bootstrap.ssh import tar_of
from campaign import guest
from campaign.core.errors import command_failed
from campaign.guest.agent.channel import CONTENT, PAGE
from campaign.guest.exchange import create, read_progress, read_result
from campaign.guest.task import (
    GuestCommand,
    GuestFile,
    GuestReplay,
    GuestResult,
    GuestStage,
    GuestTask,
    pack,
    unpack,
)
from schedulers.base import File, Probe, Step, Unit

DEADLINE_S = 240.0
SYSTEMCTL = """#!/bin/bash
[[ $1 == is-active ]] && { [[ ${!#} == sound* ]]; exit; }
[[ $1 == status ]] && echo "${!#} is as the fake says"
exit 0
"""


class RunningAgent:
    """The agent as a process; it does the tasks that `do` puts into its exchange."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exchange = folder / "exchange"
        self.number = -1
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "bin").mkdir()
        (folder / "bin/systemctl").write_text(SYSTEMCTL)
        (folder / "bin/systemctl").chmod(0o755)

    def start(self) -> None:
        """Start the agent, which was unpacked by `give`."""
        halted = ("touch", str(self.folder / "halted"))
        self._process = subprocess.Popen(
            [sys.executable, str(self.folder / "task/trial_agent.py"), str(self.exchange), *halted],
            env=os.environ | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}"},
        )

    def give(self, task: GuestTask) -> None:
        """Put the next task into the exchange, as for a guest that has just been restored."""
        content = pack(task)
        self._task = task
        self.number += 1
        (self.folder / "halted").unlink(missing_ok=True)
        if not self.exchange.exists():
            create(self.exchange, content, self.number, size=8 << 20)
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(self.folder / "task", filter="data")
            return
        with self.exchange.open("r+b") as file:
            file.seek(CONTENT)
            file.write(content)
            file.seek(0)
            head = json.dumps({"number": self.number, "length": len(content)}).encode()
            file.write(head.ljust(PAGE, b"\0"))

    def result(self) -> GuestResult:
        """Wait until the task is done and the guest is halted, and return the result."""
        until = time.monotonic() + DEADLINE_S
        while True:
            progress = read_progress(self.exchange)
            done = progress is not None and progress.state == "done"
            if done and progress is not None and progress.number == self.number:
                break
            assert time.monotonic() < until, f"the agent is not done: {progress}"
            time.sleep(0.05)
        while not (self.folder / "halted").exists():
            assert time.monotonic() < until, "the agent doesn't halt"
            time.sleep(0.05)
        return unpack(read_result(self.exchange), self._task)

    def do(self, task: GuestTask) -> GuestResult:
        """Give a task, start the agent if it doesn't run, and return the result."""
        self.give(task)
        if self._process is None:
            self.start()
        return self.result()

    def kill(self) -> None:
        """Kill the agent and whatever it waits for."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    running = RunningAgent(tmp_path_factory.mktemp("agent"))
    yield running
    running.kill()


def bash(line: str) -> tuple[str, ...]:
    return ("bash", "-c", line)


def replay(
    folder: Path, jobs: Sequence[tuple[int, str]], *, idle: str = "exit 0", **changed: Any
) -> GuestReplay:
    """A replay whose instruments keep their files in `folder`; jobs are (nodes, command)."""
    instruments = [
        File(f"{folder}/{Path(path).name}", content, mode=0o755)
        for path, content in guest.files().items()
    ]
    schedule = "".join(f"0\t{n}\t{line}\n" for n, (_, line) in enumerate(jobs, start=1))
    at = f"{folder}/schedule.tsv"
    wanted = GuestReplay(
        archive=tar_of([*instruments, File(at, schedule.encode())]),
        submit_command=(
            "env",
            f"CAMPAIGN_FOLDER={folder}",
            "/bin/bash",
            f"{folder}/submit-agent",
            at,
        ),
        lines={n: nodes for n, (nodes, _) in enumerate(jobs, start=1)},
        jobs_file=f"{folder}/jobs.tsv",
        submits_file=f"{folder}/submits.tsv",
        done_file=f"{folder}/agent.done",
        pending_command=("echo", "7|PD|(Resources)"),
        idle_command=bash(idle),
        longest_s=1.0,
        stall_s=DEADLINE_S,
        deadline_s=DEADLINE_S,
        poll_s=0.1,
    )
    return replace(wanted, **changed)


def runs(folder: Path, job: int, nodes: int = 1) -> tuple[int, str]:
    """A job that begins at once and takes longer from node to node, and what submits it."""
    lines = [
        shlex.join(("/bin/bash", f"{folder}/run-job", str(job), str(0.01 + 0.6 * node)))
        for node in range(nodes)
    ]
    return nodes, "; ".join(f"({line} >/dev/null 2>&1 &)" for line in lines) + "; echo 7"


def test_a_task_is_done_from_its_plan_to_its_files(agent: RunningAgent, tmp_path: Path) -> None:
    written = File(f"{tmp_path}/etc/conf", b"a = 1\n", owner=tmp_path.owner())
    come = tmp_path / "come"
    step = Step(files=(written,), commands=(bash(f"(sleep 0.4; touch {come}) >/dev/null 2>&1 &"),))
    answers = Probe("it answers", bash(f"test -e {come} && echo yes"), "yes", DEADLINE_S, 0.05)
    # The agent asks only when all lines are there, so that the answer is always yes.
    asked = f"wc -l <{tmp_path}/jobs.tsv >>{tmp_path}/asked"
    result = agent.do(
        GuestTask(
            stages=(GuestStage("first", script_of(step), tar_of(step.files), (answers,)),),
            smoke_test=("true",),
            settle_s=0.01,
            health_command=("true",),
            checks=(
                GuestCommand("conf", ("cat", written.path)),
                GuestCommand("odd", bash("echo kept; exit 4"), needed=False),
            ),
            replay=replay(
                tmp_path, [runs(tmp_path, 1), runs(tmp_path, 2, nodes=2), (1, "false")], idle=asked
            ),
            collect=(GuestCommand("accounting", ("echo", "accounts")),),
            files=(
                GuestFile(f"{tmp_path}/jobs.tsv"),
                GuestFile(f"{tmp_path}/submits.tsv"),
                GuestFile(f"{tmp_path}/schedule.tsv", limit=5),
                GuestFile("/nowhere"),
            ),
        )
    )
    assert (result.reason, result.details) == ("ok", "")
    assert result.outputs == {"conf": "a = 1\n", "odd": "kept\n", "accounting": "accounts\n"}
    lines = guest.parse_runs(result.files[f"{tmp_path}/jobs.tsv"].decode())
    assert sorted(run.job_id for run in lines) == [1, 2, 2]
    submits = guest.parse_submits(result.files[f"{tmp_path}/submits.tsv"].decode())
    assert [submit.exit_status for submit in submits] == [0, 0, 1]
    assert result.files[f"{tmp_path}/schedule.tsv"] == b"alse\n"
    assert "/nowhere" not in result.files
    phases = ["stage first", "smoke test", "settling", "checks", "workload", "collecting"]
    assert [name for name in result.phases_s if name != "boot"] == phases
    assert (tmp_path / "asked").read_text() == "3\n"
    progress = read_progress(agent.exchange)
    assert progress is not None
    assert (progress.jobs_done, progress.jobs_total, progress.length) != (0, 0, 0)
    assert progress.workload_s > 0


def failing(name: str) -> GuestTask:
    """A task of which one part goes wrong, by the reason that it ends with."""
    unit = Unit("broken.service")
    never = Probe("it answers", ("echo", "no"), "yes", 0.2, 0.05)
    tasks = {
        "stage_failed": GuestTask(
            stages=(GuestStage("s", "echo why; exit 3", units=(Unit("sound.service"), unit)),)
        ),
        "probe_failed": GuestTask(stages=(GuestStage("s", "", probes=(never,), units=(unit,)),)),
        "smoke_test_failed": GuestTask(smoke_test=("sleep", "100"), smoke_test_s=0.1),
        "daemon_died": GuestTask(health_command=bash("echo gone; exit 1")),
        "check_failed": GuestTask(checks=(GuestCommand("version", ("no-such-program",)),)),
        "agent_failed": replace(GuestTask(), settle_s="long"),  # type: ignore[arg-type]
    }
    return tasks[name]


@pytest.mark.parametrize(
    ("reason", "brief", "details"),
    [
        ("stage_failed", "stage s", "why\nbroken.service is as the fake says"),
        ("probe_failed", "it answers", "output: no\nbroken.service is as the fake says"),
        ("smoke_test_failed", "no job", "its time was over"),
        ("daemon_died", "a daemon", "gone"),
        ("check_failed", "version", "no-such-program"),
        ("agent_failed", "the agent", "Traceback"),
    ],
)
def test_whatever_fails_is_told_with_its_evidence(
    agent: RunningAgent, reason: str, brief: str, details: str
) -> None:
    result = agent.do(failing(reason))
    assert result.reason == reason
    assert brief in result.brief
    assert details in result.details


def test_a_failed_command_is_told_in_the_words_of_the_project(agent: RunningAgent) -> None:
    line = f"echo {'long ' * 500}>&2; exit 5"
    result = agent.do(GuestTask(health_command=bash(line)))
    assert result.details == command_failed(bash(line), 5, "long " * 500)


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("stalled", {"longest_s": 0.1, "stall_s": 0.2, "idle": "exit 1"}),
        ("unfinished", {"deadline_s": 0.3, "idle": "exit 1"}),
        ("agent_failed", {"submit_command": bash("echo refused; exit 6")}),
        ("ok", {"quiet_s": 0.2}),  # a job that was killed writes no line
    ],
)
def test_a_workload_that_does_not_end_is_given_up_with_a_reason(
    agent: RunningAgent, tmp_path: Path, reason: str, changed: dict[str, Any]
) -> None:
    result = agent.do(
        GuestTask(
            replay=replay(tmp_path, [runs(tmp_path, 1), (1, "echo 8")], **changed),
            collect=(GuestCommand("accounting", bash("echo accounts; exit 1"), needed=False),),
        )
    )
    assert result.reason == reason
    assert result.pending == ("7|PD|(Resources)\n" if reason in ("stalled", "unfinished") else "")
    assert ("accounting" in result.outputs) == (reason != "agent_failed")
    assert "refused" in result.details or reason != "agent_failed"


def test_a_daemon_that_dies_while_jobs_run_ends_the_task(
    agent: RunningAgent, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    alive.touch()
    result = agent.do(
        GuestTask(
            health_command=("test", "-e", str(alive)),
            replay=replay(tmp_path, [(1, f"rm {alive}; echo 8")], health_s=0.2),
            files=(GuestFile(f"{tmp_path}/submits.tsv"),),
        )
    )
    assert result.reason == "daemon_died"
    assert f"{tmp_path}/submits.tsv" in result.files


def test_a_result_that_does_not_fit_is_told(agent: RunningAgent, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(9 << 20))
    result = agent.do(GuestTask(files=(GuestFile(f"{tmp_path}/long", limit=9 << 20),)))
    assert result.reason == "agent_failed"
    assert "doesn't fit" in result.brief


def test_an_agent_that_was_killed_says_so_when_it_is_started_again(tmp_path: Path) -> None:
    running = RunningAgent(tmp_path)
    running.give(GuestTask(settle_s=DEADLINE_S))
    running.start()
    until = time.monotonic() + DEADLINE_S
    while (progress := read_progress(running.exchange)) is None or progress.phase != "settling":
        assert time.monotonic() < until, f"the agent doesn't begin: {progress}"
        time.sleep(0.05)
    running.kill()
    running.start()
    try:
        assert running.result().reason == "agent_failed"
    finally:
        running.kill()
