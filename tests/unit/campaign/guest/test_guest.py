"""The measuring instruments, run for real in bash, and how their output is read."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from campaign import guest
from campaign.core.jobs import Job
from campaign.guest import GuestError, PayloadRun, Submission
from campaign.guest.clocks import ClockOffset, ClockSample, NodeClock, offset, parse_clock
from campaign.guest.collect import Collected, jobs_table, runs_by_node
from campaign.schema.workload import WorkloadSettings
from campaign.workloads import load
from schedulers.base import NativeTimes, Node, Topology
from schedulers.commands import native_id_of
from tests.adapters import bound

FAKES = Path(__file__).parents[3] / "fakes" / "slurm"
INSTRUMENTS = Path(guest.__file__).parent
SLURM = bound("slurm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def env(folder: Path) -> dict[str, str]:
    queue = folder / "queue"
    queue.mkdir()
    return os.environ | {
        "CAMPAIGN_FOLDER": str(folder),
        "FAKE_QUEUE": str(queue),
        "PATH": f"{FAKES}:{os.environ['PATH']}",
    }


def start(
    name: str, *arguments: str, env: dict[str, str], **options: object
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", str(INSTRUMENTS / name), *arguments], env=env, text=True, **options
    )  # type: ignore[call-overload]


def runs_of(folder: Path) -> list[PayloadRun]:
    return guest.parse_runs((folder / "jobs.tsv").read_text())


def submits_of(folder: Path) -> list[Submission]:
    return guest.parse_submits((folder / "submits.tsv").read_text())


def until(what: object) -> None:
    """Wait for a condition; the deadline is for a broken instrument only."""
    deadline = time.monotonic() + 30
    while not what():  # type: ignore[operator]
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.02)


def test_run_job_takes_its_time_and_records_it(folder: Path, env: dict[str, str]) -> None:
    before = time.time_ns() // 1000
    assert start("run-job", "17", "0.25", env=env | {"HOSTNAME": "another"}).wait() == 0
    (run,) = runs_of(folder)
    assert (run.job_id, run.exit_code, run.node) == (17, 0, os.uname().nodename)
    assert run.end_us - run.start_us >= 250_000
    assert before <= run.start_us < run.end_us <= time.time_ns() // 1000


def test_run_job_records_the_node_that_it_is_told(folder: Path, env: dict[str, str]) -> None:
    assert start("run-job", "17", "0.01", "n7", env=env).wait() == 0
    assert [run.node for run in runs_of(folder)] == ["n7"]


def test_run_job_that_is_told_to_stop_says_so_at_once(folder: Path, env: dict[str, str]) -> None:
    process = start("run-job", "3", "600", env=env)
    until((folder / f"never-{os.getuid()}").exists)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    (run,) = runs_of(folder)
    assert (run.job_id, run.exit_code) == (3, 143)
    assert run.end_us - run.start_us < 60_000_000


def test_jobs_that_run_at_once_write_whole_lines(folder: Path, env: dict[str, str]) -> None:
    processes = [start("run-job", str(number), "0.1", env=env) for number in range(20)]
    assert all(process.wait() == 0 for process in processes)
    assert sorted(run.job_id for run in runs_of(folder)) == list(range(20))


def test_the_payload_burns_as_many_cpus_as_a_node_gives_slots() -> None:
    job = Job(5, 0.0, 7, 1.5, 60.0, 0)
    asleep = f'/bin/bash {guest.FOLDER}/run-job 5 1.500000 "$NAME"'
    assert guest.payload(job, "sleep", 2, "$NAME") == asleep
    assert [guest.payload(job, "burn", nodes, "$NAME") for nodes in (1, 2, 7)] == [
        f"{asleep} {n}" for n in (7, 4, 1)
    ]


@pytest.fixture
def burner(folder: Path, env: dict[str, str]) -> Callable[[str], None]:
    """Put a stress-ng on PATH that does as it is told, once it has written its id and arguments to
    burner.tsv."""

    def put(does: str) -> None:
        programs = folder / "bin"
        programs.mkdir()
        program = programs / "stress-ng"
        program.write_text(
            f'#!/bin/bash\necho "$$ $*" >"$CAMPAIGN_FOLDER/burner.new"\n{MOVED}\n{does}\n'
        )
        program.chmod(0o755)
        env["PATH"] = f"{programs}:{env['PATH']}"

    return put


MOVED = 'mv "$CAMPAIGN_FOLDER/burner.new" "$CAMPAIGN_FOLDER/burner.tsv"'


def burner_of(folder: Path) -> tuple[int, str]:
    number, arguments = (folder / "burner.tsv").read_text().strip().split(" ", 1)
    return int(number), arguments


def is_gone(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def test_run_job_burns_for_its_time(
    folder: Path, env: dict[str, str], burner: Callable[[str], None]
) -> None:
    burner("echo not for us; exec sleep 600")
    assert start("run-job", "17", "0.5", "", "3", env=env).wait(timeout=30) == 0
    (run,) = runs_of(folder)
    number, arguments = burner_of(folder)
    assert (run.job_id, run.exit_code) == (17, 0)
    assert 500_000 <= run.end_us - run.start_us < 20_000_000
    assert arguments == f"--cpu 3 --timeout 60s --quiet --temp-path {folder}"
    assert is_gone(number)


def test_run_job_without_workers_burns_nothing(
    folder: Path, env: dict[str, str], burner: Callable[[str], None]
) -> None:
    burner("exec sleep 600")
    assert start("run-job", "17", "0.1", env=env).wait(timeout=30) == 0
    assert not (folder / "burner.tsv").exists()


def test_run_job_that_is_told_to_stop_ends_what_burns(
    folder: Path, env: dict[str, str], burner: Callable[[str], None]
) -> None:
    burner("exec sleep 600")
    process = start("run-job", "3", "600", "", "1", env=env)
    until((folder / "burner.tsv").exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert [run.exit_code for run in runs_of(folder)] == [143]
    assert is_gone(burner_of(folder)[0])


def test_a_stop_that_the_burner_hears_first_is_a_stop(
    folder: Path, env: dict[str, str], burner: Callable[[str], None]
) -> None:
    burner("(sleep 0.2; kill $PPID) 3>&- & exit 0")
    assert start("run-job", "3", "600", "", "1", env=env).wait(timeout=30) == 143
    assert [run.exit_code for run in runs_of(folder)] == [143]


@pytest.mark.parametrize(
    ("does", "code"),
    [("exit 3", 3), ("exit 0", 1), ("kill -9 $$", 137), ("sleep 2 & exit 4", 4)],
    ids=["fails", "ends early", "is killed", "leaves a worker"],
)
def test_what_stops_burning_early_fails_its_job(
    folder: Path, env: dict[str, str], burner: Callable[[str], None], does: str, code: int
) -> None:
    burner(does)
    seconds = "1" if "&" in does else "600"
    assert start("run-job", "3", seconds, "", "1", env=env).wait(timeout=30) == code
    assert [run.exit_code for run in runs_of(folder)] == [code]


def test_a_node_without_the_burner_fails_its_job(folder: Path, env: dict[str, str]) -> None:
    programs = folder / "bin"
    programs.mkdir()
    for name in ("bash", "mkfifo"):
        (programs / name).symlink_to(str(shutil.which(name)))
    assert (
        start("run-job", "3", "600", "", "1", env=env | {"PATH": str(programs)}).wait(timeout=30)
        == 127
    )
    assert [run.exit_code for run in runs_of(folder)] == [127]


def test_a_job_waits_although_another_user_waits_in_its_folder(
    folder: Path, env: dict[str, str]
) -> None:
    (folder / "never").mkdir()  # what can't be opened, as the pipe of another user
    assert start("run-job", "3", "0.5", env=env).wait(timeout=30) == 0
    [run] = runs_of(folder)
    assert run.end_us - run.start_us >= 500_000


def test_a_job_that_cannot_wait_fails(folder: Path, env: dict[str, str]) -> None:
    (folder / f"never-{os.getuid()}").mkdir()
    assert start("run-job", "3", "600", env=env).wait(timeout=30) == 1
    assert [run.exit_code for run in runs_of(folder)] == [1]


def test_clock_answers_each_line(env: dict[str, str]) -> None:
    with start("clock", env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        samples = []
        for _ in range(5):
            sent = time.time()
            process.stdin.write("\n")
            process.stdin.flush()
            samples.append(ClockSample(sent, parse_clock(process.stdout.readline()), time.time()))
        process.stdin.close()
    found = offset(samples)
    assert abs(found.offset_s) <= found.error_s + 1e-5  # the same clock, read with microseconds
    assert process.returncode == 0


def replay(folder: Path, env: dict[str, str], *lines: str) -> list[Submission]:
    schedule = folder / "schedule.tsv"
    schedule.write_text("".join(f"{line}\n" for line in lines))
    assert start("submit-agent", str(schedule), env=env).wait() == 0
    assert (folder / "agent.done").exists()
    return submits_of(folder)


def test_agent_submits_on_time_and_in_order(folder: Path, env: dict[str, str]) -> None:
    submits = replay(folder, env, "0\t1\techo one", "300000\t2\techo two", "300000\t3\techo three")
    began = guest.parse_started((folder / "agent.t0").read_text())
    assert [(submit.job_id, submit.output, submit.exit_status) for submit in submits] == [
        (1, "one", 0),
        (2, "two", 0),
        (3, "three", 0),
    ]
    assert [submit.intended_us - began for submit in submits] == [0, 300_000, 300_000]
    assert all(submit.intended_us <= submit.submit_us <= submit.accepted_us for submit in submits)


def test_agent_runs_what_happens_beside_the_jobs_and_says_when_all_are_submitted(
    folder: Path, env: dict[str, str]
) -> None:
    jobs = [Job(number, 0.05 * number, 1, 1.0, 60.0, 0) for number in (1, 2)]
    events = [
        (0.1, ("test", "-e", f"{folder}/agent.done")),  # before the job of that moment
        (0.2, ("test", "-e", f"{folder}/agent.done")),
        (0.3, ("echo", "made")),
    ]
    lines = guest.schedule(((job, ("echo", str(job.job_id))) for job in jobs), events)
    submits = replay(folder, env, *lines.decode().splitlines())
    assert [one.output for one in submits] == ["1", "2"]
    said = (folder / "events.tsv").read_text()
    assert [line.split("\t")[0] for line in said.splitlines()] == ["1", "0", "0"]
    assert [line.partition(" exited")[0] for line in guest.failed_events(said)] == [
        f"test -e {folder}/agent.done"
    ]


def test_agent_puts_in_the_native_ids_of_jobs_submitted_before(
    folder: Path, env: dict[str, str]
) -> None:
    commands = {
        7: ("echo", "1001;cluster"),
        8: ("false",),
        9: ("echo", f"--after=ok:{native_id_of(7)}:{native_id_of(8)}", "it's mine"),
    }
    jobs = [Job(number, 0.0, 1, 1.0, 60.0, 0) for number in commands]
    lines = guest.schedule((job, commands[job.job_id]) for job in jobs)
    submits = replay(folder, env, *lines.decode().splitlines())
    assert submits[2].output == "--after=ok:1001: it's mine"


def test_agent_records_a_refusal_and_goes_on(folder: Path, env: dict[str, str]) -> None:
    refused, accepted = replay(
        folder, env, "0\t1\tprintf 'a\\tb\\\\'; echo bad >&2; exit 7", "0\t2\techo 5"
    )
    assert refused.exit_status == 7
    assert refused.output == "a\tb\\\nbad"
    assert (accepted.exit_status, accepted.output) == (0, "5")


def test_agent_keeps_warnings_out_of_what_a_tool_answered(
    folder: Path, env: dict[str, str]
) -> None:
    (submit,) = replay(folder, env, "0\t1\techo warning >&2; echo 12")
    assert submit.output == "12"


def test_agent_forgets_an_earlier_replay(folder: Path, env: dict[str, str]) -> None:
    replay(folder, env, "0\t1\ttrue")
    assert [submit.job_id for submit in replay(folder, env, "0\t2\ttrue")] == [2]


TOPOLOGY = Topology(
    "c",
    (
        Node("head", "head", "127.0.0.1", 1, 512),
        Node(os.uname().nodename, "compute", "127.0.0.2", 4, 512),
    ),
)
SAME = NodeClock(ClockOffset(0, 0, 0), ClockOffset(0, 0, 4e9))


def test_a_workload_replayed_on_a_small_batch_system(folder: Path, env: dict[str, str]) -> None:
    """Schedule, agent, sbatch, batch script, payload, parsers and jobs table, one after the
    other."""
    workload = load(WorkloadSettings(jobs=4, duration_s=5), slots=4)
    commands = []
    for job in workload.jobs():
        quick = job._replace(runtime_s=0.05, arrival_s=job.arrival_s / 100)
        script = folder / f"{job.job_id}.sh"
        payload = guest.payload(quick, "sleep", 1).replace(guest.FOLDER, str(INSTRUMENTS))
        script.write_bytes(SLURM.job_script(quick, TOPOLOGY, payload))
        commands.append((quick, SLURM.submit_command(quick, TOPOLOGY, str(script))))
    submits = replay(folder, env, *guest.schedule(commands).decode().splitlines())
    pending = SLURM.pending_command()[2:]  # without its timeout(1)
    until(lambda: SLURM.parse_pending(subprocess.check_output(pending, env=env, text=True)) == {})
    assert subprocess.run(SLURM.idle_command(), env=env, check=False).returncode == 0
    table = jobs_table(
        workload,
        Collected(
            head="head",
            started_us=guest.parse_started((folder / "agent.t0").read_text()),
            submits=submits,
            runs={TOPOLOGY.compute[0].name: runs_of(folder)},
            clocks={node.name: SAME for node in TOPOLOGY.nodes},
            nodes_requested={job.job_id: 1 for job in workload.jobs()},
            native_ids={submit.job_id: SLURM.parse_submit(submit.output) for submit in submits},
            accounting={},
        ),
    )
    assert table.column("native_id").to_pylist() == ["1", "2", "3", "4"]
    assert table.column("exit_code").to_pylist() == [0] * 4
    assert table.column("nodes").to_pylist() == [[TOPOLOGY.compute[0].name]] * 4
    for row in table.to_pylist():
        assert (
            0
            <= row["intended_ns"]
            <= row["submit_ns"]
            < row["start_ns"]
            == row["all_started_ns"]
            < row["end_ns"]
        )


def test_the_small_batch_system_refuses_as_slurm_does(folder: Path, env: dict[str, str]) -> None:
    job = Job(1, 0.0, 8, 1.0, 60.0, 0)
    wide = Topology("c", (*TOPOLOGY.nodes, Node("n2", "compute", "127.0.0.3", 4, 512)))
    script = folder / "1.sh"
    script.write_bytes(SLURM.job_script(job, wide, "true"))
    (submit,) = replay(
        folder,
        env,
        guest.schedule([(job, SLURM.submit_command(job, wide, str(script)))]).decode().strip(),
    )
    assert submit.exit_status == 1
    assert "not available" in submit.output


@pytest.mark.parametrize(
    "line", ["", "1\tn\t2\t3\n", "x\tn\t2\t3\t0\n", "1\tn\t2\t3\t0\t9\n", "1\tn\t2\t3\t0", "\n"]
)
def test_torn_lines_of_run_job_are_errors_that_keep_the_line(line: str) -> None:
    if not line:
        assert guest.parse_runs(line) == []
        return
    with pytest.raises(GuestError) as caught:
        guest.parse_runs("1\tn\t2\t3\t0\n" + line)
    assert caught.value.raw == line
    assert pickle.loads(pickle.dumps(caught.value)).raw == line


def test_offset_takes_the_shortest_round_trip() -> None:
    answers = [(10.0, 15.9, 11.0), (20.0, 25.05, 20.1), (30.0, 36.0, 31.0)]
    found = offset([ClockSample(*answer) for answer in answers])
    assert found.offset_s == pytest.approx(5.0)
    assert found.error_s == pytest.approx(0.05)
    assert found.at_s == pytest.approx(20.05)


def test_offset_without_an_answer_is_an_error() -> None:
    with pytest.raises(GuestError, match="no answer"):
        offset([])


def test_offsets_are_interpolated_over_the_workload() -> None:
    clock = NodeClock(
        ClockOffset(5.0, 0.1, 100.0), ClockOffset(7.0, 0.3, 200.0)
    )  # node time 105 .. 207
    times = clock.to_driver_us([105e6, 156e6, 207e6, 300e6, 0])
    assert times == pytest.approx([100e6, 150e6, 200e6, 293e6, -5e6])


def test_a_clock_that_drifts_is_as_sure_as_its_measurements_and_one_that_jumps_is_not() -> None:
    drifting = NodeClock(ClockOffset(5.0, 0.001, 100.0), ClockOffset(5.051, 0.003, 200.0))
    assert (drifting.jump_s, drifting.error_s) == (0.0, 0.003)
    for jump in (2.0, -2.0):
        jumping = NodeClock(ClockOffset(5.0, 0.1, 100.0), ClockOffset(5.0 + jump, 0.3, 200.0))
        assert jumping.jump_s == pytest.approx(2.0 - 0.4 - 0.05)
        assert jumping.error_s == pytest.approx(0.3 + jumping.jump_s)


def collected(**changes: object) -> Collected:
    values = {
        "head": "head",
        "started_us": 1_000_000_000,
        "submits": [Submission(1, 1_000_000_000, 1_000_100_000, 1_000_200_000, 0, "9")],
        "runs": {
            "n1": [PayloadRun(1, "n1", 1_005_500_000, 1_006_500_000, 0)],
            "n2": [PayloadRun(1, "n2", 990_700_000, 991_800_000, 143)],
        },
        "clocks": {
            "head": SAME,
            "n1": NodeClock(ClockOffset(5, 0, 0), ClockOffset(5, 0, 2000)),
            "n2": NodeClock(ClockOffset(-10, 0, 0), ClockOffset(-10, 0, 2000)),
        },
        "nodes_requested": {1: 2},
        "native_ids": {1: "9"},
        "accounting": {"9": NativeTimes("9", "COMPLETED", 1000.0, 1002.0)},
    }
    return Collected(**(values | changes))  # type: ignore[arg-type]


def test_runs_in_a_shared_vm_are_those_of_the_nodes_that_they_name() -> None:
    found = {"head": [PayloadRun(1, "n1", 1, 2, 0), PayloadRun(1, "n2", 1, 3, 0)]}
    runs = runs_by_node(found, {"head": ["head", "n1", "n2"]})
    assert {node: [run.end_us for run in each] for node, each in runs.items()} == {
        "head": [],
        "n1": [2],
        "n2": [3],
    }
    with pytest.raises(GuestError, match="none of the nodes of head"):
        runs_by_node({"head": [PayloadRun(1, "n9", 1, 2, 0)]}, {"head": ["head", "n1"]})


def test_runs_in_a_vm_of_one_node_are_its_own_whatever_they_name() -> None:
    found = {"n1": [PayloadRun(1, "elsewhere", 1, 2, 0)]}
    assert list(runs_by_node(found, {"head": ["head"], "n1": ["n1"]})["n1"]) == found["n1"]


def test_the_jobs_table_is_on_one_clock() -> None:
    workload = load(WorkloadSettings(jobs=2, duration_s=5), slots=4)
    first, second = jobs_table(workload, collected()).to_pylist()
    assert first["nodes"] == ["n1", "n2"]
    assert (first["start_ns"], first["all_started_ns"], first["end_ns"]) == (
        500_000_000,
        700_000_000,
        1_800_000_000,
    )
    assert (first["submit_ns"], first["accepted_ns"], first["exit_code"]) == (
        100_000_000,
        200_000_000,
        143,
    )
    assert (first["native_state"], first["native_start_s"], first["native_end_s"]) == (
        "COMPLETED",
        0.0,
        2.0,
    )
    assert second["nodes"] == []
    assert (
        second["submit_ns"] is second["start_ns"] is second["end_ns"] is second["native_id"] is None
    )


def test_of_a_job_that_ran_again_the_last_time_counts() -> None:
    first, again = (
        PayloadRun(1, "head", start, start + 500_000, code)
        for start, code in ((1_002_000_000, 143), (1_004_000_000, 0))
    )
    found = collected(runs={"head": [first, again]}, nodes_requested={1: 1})
    workload = load(WorkloadSettings(jobs=2, duration_s=5), slots=4)
    ran, _ = jobs_table(workload, found).to_pylist()
    assert (ran["nodes"], ran["exit_code"], ran["start_ns"]) == (["head"], 0, 4_000_000_000)


def test_a_refused_job_was_never_accepted() -> None:
    workload = load(WorkloadSettings(jobs=1, duration_s=5), slots=4)
    (row,) = jobs_table(
        workload,
        collected(submits=[Submission(1, 1_000_000_000, 1_000_000_000, 1_000_000_001, 1, "no")]),
    ).to_pylist()
    assert row["submit_ns"] == 0
    assert row["accepted_ns"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"runs": {"n1": [PayloadRun(77, "n1", 1, 2, 0)]}},
        {"submits": [Submission(1, 1, 1, 1, 0, "9")] * 2},
        {"clocks": {"head": SAME}},
    ],
)
def test_what_does_not_fit_together_is_an_error(changes: dict[str, object]) -> None:
    with pytest.raises(GuestError):
        jobs_table(load(WorkloadSettings(jobs=1, duration_s=5), slots=4), collected(**changes))


SESSION = """\
import sys
print("ready", flush=True)
for line in sys.stdin:
    path = line.strip()
    if "ends" in path:
        break
    if "slow" in path:
        print("0\\tf" + path[-1] + "\\tand more", flush=True)
    else:
        print("1\\tno such job: " + path, flush=True)
"""


def test_a_session_submits_without_a_program_for_each_job(
    folder: Path, env: dict[str, str]
) -> None:
    jobs = [Job(number, 0.01 * number, 1, 1.0, 60.0, 0) for number in (1, 2, 3)]
    (folder / "session").write_bytes(guest.session((sys.executable, "-c", SESSION)))
    lines = guest.schedule(
        (job, (path,)) for job, path in zip(jobs, ("slow7", "other", "slow8"), strict=True)
    )
    submits = replay(folder, env, *lines.decode().splitlines())
    assert [(one.job_id, one.exit_status, one.output) for one in submits] == [
        (1, 0, "f7\tand more"),
        (2, 1, "no such job: other"),
        (3, 0, "f8\tand more"),
    ]
    assert all(one.intended_us <= one.submit_us <= one.accepted_us for one in submits)


def test_a_session_that_ends_fails_what_is_left_and_the_agent_goes_on(
    folder: Path, env: dict[str, str]
) -> None:
    jobs = [Job(number, 0.0, 1, 1.0, 60.0, 0) for number in (1, 2, 3)]
    (folder / "session").write_bytes(guest.session((sys.executable, "-c", SESSION)))
    lines = guest.schedule((job, ("ends",)) for job in jobs)
    submits = replay(folder, env, *lines.decode().splitlines())
    assert [(one.job_id, one.exit_status) for one in submits] == [(1, 1), (2, 1), (3, 1)]
    assert all("the session that submits has ended" in one.output for one in submits)
