"""Slurm's files, scripts and commands for a cluster that is more than equal nodes."""

import os
import subprocess

import pytest

from campaign.core.cluster import model_of
from campaign.core.errors import SchedulerError, WorkloadError
from campaign.core.jobs import Job, JobTraits
from campaign.schema.model import ClusterSettings
from schedulers.commands import NATIVE_ID
from schedulers.fitting import fewest_nodes
from schedulers.slurm.cluster_conf import gres_conf
from schedulers.slurm.conf import slurm_conf
from schedulers.slurm.params import SlurmParams
from schedulers.topologies import topology_of
from schedulers.users import users_step
from tests.adapters import bound

SLURM = bound("slurm")
GROUPS = {
    "cpu": {"nodes": 2, "slots": 4, "memory_mib": 2048, "features": ["ib", "avx"]},
    "gpu": {"nodes": 1, "slots": 8, "memory_mib": 8192, "gpus": 2, "gpu_type": "a100"},
}


def cluster(**settings):
    read = ClusterSettings.model_validate({"groups": GROUPS} | settings)
    return topology_of("c", sum(group["nodes"] for group in GROUPS.values()), read, 512)


def conf_of(topology) -> list[str]:
    return slurm_conf(topology, SlurmParams()).decode().splitlines()


def model_with(*names):
    settings = ClusterSettings.model_validate({"users": {name: {} for name in names}})
    return model_of(settings, 1)


def job(width=1, **traits) -> Job:
    return Job(5, 0.0, width, 1.0, 60.0, 0, JobTraits(**traits))


def script_of(one, topology) -> list[str]:
    return SLURM.job_script(one, topology, "true").decode().splitlines()


def test_unlike_nodes_are_told_what_they_have() -> None:
    lines = [line for line in conf_of(cluster()) if line.startswith("NodeName=")]
    assert "CPUs=4 RealMemory=2048 Feature=ib,avx State=UNKNOWN" in lines[0]
    assert "CPUs=8 RealMemory=8192 Gres=gpu:a100:2 State=UNKNOWN" in lines[2]
    assert "GresTypes=gpu" in conf_of(cluster())
    devices = "/etc/campaign-gpus/gpu"
    expected = f"AutoDetect=off\nNodeName=n3 Name=gpu Type=a100 File={devices}[0-1]\n"
    assert gres_conf(cluster()) == expected.encode()


def test_each_gpu_has_what_stands_for_its_device(tmp_path) -> None:
    """Slurm counts no GPU without."""
    plan = SLURM.plan(cluster(), SlurmParams(), SLURM.scheduler.make_secrets())
    stage = plan.stages[0]
    [(*shell, script)] = stage.steps["n3"].commands
    assert "n1" not in stage.steps
    # Commands of a step with files don't run where all files are there already.
    assert not stage.steps["n3"].files
    subprocess.run([*shell, script.replace("/etc/", f"{tmp_path}/")], check=True)
    found = sorted((tmp_path / "campaign-gpus").iterdir())
    assert [file.name for file in found] == ["gpu0", "gpu1"]
    assert all(file.is_char_device() for file in found)


def test_a_cluster_of_equal_nodes_has_the_one_partition_and_no_more() -> None:
    plain = topology_of("c", 2, ClusterSettings(), 512)
    assert "PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP" in conf_of(plain)
    assert not [line for line in conf_of(plain) if "Gres" in line or "Preempt" in line]
    assert gres_conf(plain) == b""


def test_partitions_have_their_nodes_limits_and_ranks() -> None:
    partitions = {
        "day": {"max_time_s": 90, "priority_tier": 1},
        "debug": {"groups": ["gpu"], "default": True, "max_nodes": 1, "priority_tier": 9},
    }
    lines = [line for line in conf_of(cluster(partitions=partitions)) if "PartitionName" in line]
    assert lines[0].startswith("PartitionName=day Nodes=n1,n2,n3 MaxTime=2 PriorityTier=1")
    assert lines[1].startswith("PartitionName=debug Nodes=n3 Default=YES MaxTime=INFINITE")
    assert "MaxNodes=1" in lines[1] and "PriorityTier=9" in lines[1]
    # One for the smoke test across all nodes, for root alone.
    assert "RootOnly=YES" in lines[2] and "Nodes=n1,n2,n3" in lines[2]


def test_jobs_that_give_way_start_anew_if_their_partition_says_so() -> None:
    giving = cluster(partitions={"low": {"preempt": "requeue"}, "high": {"priority_tier": 2}})
    text = conf_of(giving)
    assert {"PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE"} <= set(text)
    assert "#SBATCH --requeue" in script_of(job(), giving)
    assert "#SBATCH --no-requeue" in script_of(job(), cluster())


def test_slurm_lets_jobs_give_way_by_partition_or_by_quality_of_service() -> None:
    both = cluster(
        partitions={"low": {"preempt": "cancel"}},
        qos={"a": {"preempts": ["b"]}, "b": {"preempt": "cancel"}},
    )
    with pytest.raises(SchedulerError, match="Slurm does one of them"):
        conf_of(both)


def test_a_script_says_what_the_job_wishes() -> None:
    wishes = {
        "memory_per_slot_mib": 100.5,
        "gpus": 2,
        "gpu_type": "a100",
        "partition": "day",
        "reservation": "kept",
        "exclusive": True,
    }
    lines = script_of(job(**wishes), cluster(partitions={"day": {}}))
    for option in (
        "--mem-per-cpu=101M",
        "--gpus=a100:2",
        "--partition=day",
        "--reservation=kept",
    ):
        assert f"#SBATCH {option}" in lines


@pytest.mark.parametrize(
    ("one", "nodes"),
    [
        (job(8), 1),
        (job(9), 2),
        (job(4, features="ib&avx"), 1),
        (job(8, features="ib"), 2),
        (job(2, gpus=2), 1),
        (job(4, memory_per_slot_mib=1024.0), 1),
        (job(10, memory_per_slot_mib=1024.0), 2),
        (job(3, nodes=3), 3),
        (job(2, nodes=3), 2),
    ],
)
def test_a_job_needs_the_fewest_nodes_that_have_what_it_wishes(one, nodes) -> None:
    assert fewest_nodes(one, cluster()) == nodes


@pytest.mark.parametrize(
    "one",
    [job(gpus=3), job(memory_per_node_mib=9000.0), job(9, features="ib"), job(features="none")],
)
def test_a_job_that_no_node_could_hold_is_named(one) -> None:
    with pytest.raises(WorkloadError, match=r"job 5 .* fits no nodes"):
        fewest_nodes(one, cluster())


@pytest.mark.parametrize(
    ("one", "limits", "allowed"),
    [
        (job(9), {"max_nodes": 1}, "1 to 1"),
        (job(1), {"min_nodes": 2}, "2 to all"),
        (job(9), {"min_nodes": 1, "max_nodes": 2}, None),
        (job(9, qos="free"), {"max_nodes": 1}, None),
        (job(1, qos="free"), {"min_nodes": 2}, "2 to all"),
    ],
)
def test_a_job_that_its_partition_would_hold_for_ever_is_named(one, limits, allowed) -> None:
    qos = {"free": {"flags": ["partition_max_nodes"]}}
    topology = cluster(partitions={"day": limits}, qos=qos)
    if allowed is None:
        fewest_nodes(one, topology)
        return
    with pytest.raises(WorkloadError, match=rf"partition day is for jobs of {allowed}"):
        fewest_nodes(one, topology)


def test_each_job_is_its_users_and_waits_for_others_by_their_native_ids() -> None:
    topology = cluster(users={"ada": {}})
    one = job(user_name="ada", after=(3, 4), after_kind="afterok")
    command = SLURM.submit_command(one, topology, "/s.sh")
    assert command[:3] == ("setpriv", "--reuid=20001", "--regid=20001")
    waits = "--dependency=afterok:@native-id-of:3@:@native-id-of:4@"
    assert command[-4:] == ("sbatch", "--parsable", waits, "/s.sh")
    assert SLURM.submit_command(job(), topology, "/s.sh") == ("sbatch", "--parsable", "/s.sh")
    # Slurm's accounts have the command, and nothing of the script.
    assert "--exclusive" in SLURM.submit_command(job(exclusive=True), topology, "/s.sh")


def test_reservations_and_node_events_have_their_times() -> None:
    topology = cluster(
        users={"ada": {}},
        reservations={
            "kept": {"group": "cpu", "nodes": 1, "start_s": 60, "duration_s": 90, "users": ["ada"]}
        },
        events=[
            {"at_s": 5, "group": "cpu", "becomes": "down"},
            {"at_s": 9, "node": "n2", "becomes": "up"},
        ],
    )
    found = SLURM.timed_commands(topology)
    assert [(at_s, command[2:]) for at_s, command in found] == [
        (
            0.0,
            (
                "reservation",
                "ReservationName=kept",
                "StartTime=now+60",
                "Duration=2",
                "Nodes=n1",
                "Users=ada",
            ),
        ),
        (5.0, ("NodeName=n1,n2", "State=DOWN", "Reason=event")),
        (5.0, ("NodeName=n1,n2", "State=DRAIN", "Reason=event")),
        (9.0, ("NodeName=n2", "State=RESUME")),
    ]


def test_every_node_gets_the_users() -> None:
    plan = SLURM.plan(cluster(users={"ada": {}}), SlurmParams(), SLURM.scheduler.make_secrets())
    assert set(plan.stages[0].steps) == {"head", "n1", "n2", "n3"}
    [file] = plan.stages[0].steps["n3"].files
    assert file.content == b"ada:x:20001:\n"


def test_users_are_added_once_and_never_take_the_place_of_a_nodes_own(tmp_path) -> None:
    [file] = users_step(model_with("ada", "eve")).files
    [(*shell, script)] = users_step(model_with("ada", "eve")).commands
    (tmp_path / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (tmp_path / "group").write_text("root:x:0:\n")
    (tmp_path / "campaign-users").write_bytes(file.content)
    command = [*shell, script.replace("/etc/", f"{tmp_path}/")]
    for _ in range(2):
        subprocess.run(command, check=True)
    names = [line.split(":")[0] for line in (tmp_path / "passwd").read_text().splitlines()]
    assert names == ["root", "ada", "eve"]
    assert (tmp_path / "group").read_text().splitlines()[1:] == ["ada:x:20001:", "eve:x:20002:"]
    (tmp_path / "passwd").write_text("ada:x:7:7::/:/bin/sh\n")
    refused = subprocess.run(command, check=False, capture_output=True, text=True)
    assert refused.returncode == 1 and "a user ada of its own" in refused.stderr


def ran(command, ids, folder, *, status=0):
    """What a submission prints where sbatch answers 7 and jobs have these native ids."""
    sbatch = folder / "sbatch"
    sbatch.write_text(
        f"#!/bin/bash\necho \"$@\" >{folder}/given\necho '7;cluster'\nexit {status}\n"
    )
    sbatch.chmod(0o755)
    words = [NATIVE_ID.sub(lambda match: ids.get(match[1], ""), word) for word in command]
    done = subprocess.run(
        words,
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip()


def test_an_array_is_submitted_once_and_each_task_has_its_id(tmp_path) -> None:
    traits = JobTraits(array=40, array_limit=2, after=(3,), after_kind="afterok", exclusive=True)
    tasks = [Job(number, 0.0, 1, 1.0, 60.0, 0, traits) for number in (41, 42, 43)]
    first, *others = SLURM.submit_array_commands(tasks, cluster(), "/s.sh")
    assert ran(first, {"3": "5"}, tmp_path) == (0, "7_0")
    given = (tmp_path / "given").read_text().split()
    wishes = ["--array=0-2%2", "--exclusive", "--dependency=afterok:5"]
    assert given == ["--parsable", *wishes, "/s.sh"]
    assert [ran(one, {"41": "7_0"}, tmp_path) for one in others] == [(0, "7_1"), (0, "7_2")]
    assert SLURM.parse_submit("7_2") == "7_2"


def test_where_an_array_is_refused_none_of_its_tasks_was_submitted(tmp_path) -> None:
    tasks = [Job(number, 0.0, 1, 1.0, 60.0, 0, JobTraits(array=40)) for number in (41, 42)]
    first, other = SLURM.submit_array_commands(tasks, cluster(), "/s.sh")
    assert ran(first, {}, tmp_path, status=3) == (3, "")
    assert "--array=0-1 " in (tmp_path / "given").read_text()
    assert ran(other, {}, tmp_path) == (1, "")


@pytest.mark.parametrize("width", [1, 6])
def test_each_task_of_an_array_runs_its_own_payload(width, tmp_path) -> None:
    payloads = [f'/bin/echo "{n} on $SLURMD_NODENAME"' for n in (41, 42)]
    script = SLURM.job_script(job(width), cluster(), SLURM.array_payload(payloads))
    (tmp_path / "srun").write_text(
        '#!/bin/bash\nwhile [[ $1 != /bin/bash ]]; do shift; done; "$@"\n'
    )
    (tmp_path / "srun").chmod(0o755)
    for place, said in enumerate(("41 on n1", "42 on n1")):
        told = {"SLURM_ARRAY_TASK_ID": str(place), "SLURMD_NODENAME": "n1"}
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash"], input=script, env={"PATH": path, **told}, capture_output=True, check=True
        )
        assert done.stdout.decode().strip() == said
