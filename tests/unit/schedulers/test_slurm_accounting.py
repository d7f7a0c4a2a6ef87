"""Slurm on an image with slurmdbd: plans start it, sacctmgr is told of the model, sacct is read.

Texts of sacct and sacctmgr were recorded from slurm-wlm 24.11.5.
"""

import gzip
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from campaign.core.cluster import Account, ClusterModel, Qos, User
from campaign.core.levers import Lever
from campaign.core.sacct_command import COLUMNS
from campaign.images.debian import builder
from campaign.schema.cluster import JobLimits, SharedLimits
from schedulers.base import ParseError, Topology
from schedulers.facts import ImageFacts
from schedulers.job_log import job_log_of
from schedulers.registry import adapter
from schedulers.slurm import accounts, database, job_log
from schedulers.slurm.associations import ASSOCIATIONS, associations, gpu_limits
from schedulers.slurm.params import SlurmParams
from schedulers.slurm.spelling import PRIORITY_FLAGS, priority_flags
from tests.adapters import bound

IMAGE = "slurm-accounting"
PLAIN = bound("slurm")
SLURM = adapter("slurm").for_image(ImageFacts(IMAGE, builder.spec(IMAGE).facts))
TOPOLOGY = Topology.of_equal_nodes("c7", 2, slots=4, memory_mib=512)
MODEL = ClusterModel(
    accounts=(Account("child", parent="top", qos=("high", "low")), Account("top", shares=3)),
    users=(
        User("ada", 20_001, ("child",)),
        User("bob", 20_002, in_all=SharedLimits(max_jobs=2)),
    ),
    qos=(
        Qos("high", priority=100, preempts=("low",), per_user=SharedLimits(max_jobs=1)),
        Qos("low", preempt="requeue", flags=("deny_on_limit",), usage_factor=0.5),
    ),
)


def plan(model: ClusterModel = MODEL, slurm=SLURM):
    topology = replace(TOPOLOGY, model=model)
    return slurm.plan(topology, SlurmParams(), slurm.scheduler.make_secrets())


def contents(slurm=SLURM) -> dict[str, str]:
    files = plan(slurm=slurm).files()
    return {file.path: file.content.decode() for _, file in files if not file.secret}


def test_slurmdbd_knows_its_people_before_the_controller_starts() -> None:
    users, *stages = plan().stages
    assert users.name == "users"
    assert [stage.name for stage in stages] == ["database", "accounts", "controller", "nodes"]
    heads = [stage.steps["head"] for stage in stages]
    assert [unit.name for unit in heads[0].units] == [
        "munge.service",
        database.DATABASE_UNIT,
        "slurmdbd.service",
    ]
    assert heads[0].probes[0].what == "slurmdbd answers"
    # The nodes have nothing of it.
    assert "n1" not in stages[0].steps and "n1" not in stages[1].steps


def test_an_image_without_slurmdbd_has_the_plan_that_it_had() -> None:
    assert [stage.name for stage in plan(slurm=PLAIN).stages] == ["users", "controller", "nodes"]
    assert (
        "AccountingStorageType=accounting_storage/none\n"
        in contents(PLAIN)["/etc/slurm/slurm.conf"]
    )
    assert database.DATABASE_UNIT_FILE not in contents(PLAIN)


def test_the_controller_enforces_what_slurmdbd_keeps_after_a_change_too() -> None:
    conf = contents()["/etc/slurm/slurm.conf"]
    assert "AccountingStorageType=accounting_storage/slurmdbd\n" in conf
    assert "AccountingStorageEnforce=associations,limits,qos,safe\n" in conf
    [(_, again)] = SLURM.reconfigure(replace(TOPOLOGY, model=MODEL), SlurmParams()).files()
    assert again.content.decode() == conf


def test_limits_on_gpus_are_tracked_where_nodes_have_some() -> None:
    head, *others = TOPOLOGY.nodes
    nodes = (head, *(replace(node, gpus=2) for node in others))
    with_gpus = SLURM.reconfigure(replace(TOPOLOGY, nodes=nodes), SlurmParams())
    files = {file.path: file.content for _, file in with_gpus.files()}
    assert b"AccountingStorageTRES=gres/gpu\n" in files["/etc/slurm/slurm.conf"]
    typed = (head, replace(others[0], gpus=2, gpu_type="a100"), replace(others[1], gpu_type="v100"))
    conf = SLURM.reconfigure(replace(TOPOLOGY, nodes=typed), SlurmParams())
    [text] = [file.content for _, file in conf.files() if file.path == "/etc/slurm/slurm.conf"]
    assert b"AccountingStorageTRES=gres/gpu,gres/gpu:a100\n" in text
    assert "AccountingStorageTRES" not in contents()["/etc/slurm/slurm.conf"]


def test_only_slurmdbd_may_read_its_file_and_the_database_has_no_network() -> None:
    [conf] = [file for _, file in plan().files() if file.path == "/etc/slurm/slurmdbd.conf"]
    assert (conf.mode, conf.owner) == (0o600, "slurm")
    assert "--skip-networking" in contents()[database.DATABASE_UNIT_FILE]


def test_a_database_is_made_with_the_files_that_its_server_expects() -> None:
    made = " ".join(
        SLURM.plan(TOPOLOGY, SlurmParams(), SLURM.scheduler.make_secrets())
        .stages[0]
        .steps["head"]
        .commands[0]
    )
    served = contents()[database.DATABASE_UNIT_FILE]
    for option in database.FILES:
        assert option in made and option in served


def test_sacctmgr_is_told_of_parents_and_qualities_before_those_who_name_them() -> None:
    told = associations(replace(TOPOLOGY, model=MODEL)).decode().splitlines()
    assert told == [
        "add qos high Priority=100 UsageFactor=1 MaxJobsPerUser=1",
        "add qos low Priority=0 UsageFactor=0.5 Flags=DenyOnLimit PreemptMode=requeue",
        "modify qos high set Preempt=low",
        "modify account root set QOS=normal,high,low DefaultQOS=normal",
        "add account top Fairshare=3",
        "add account child Parent=top Fairshare=1 QOS=high,low DefaultQOS=high",
        "add account others",
        "add user ada Account=child Fairshare=1",
        "add user bob Account=others Fairshare=1 GrpJobs=2",
    ]


def test_every_limit_of_a_quality_of_service_has_its_place() -> None:
    counts = {"max_jobs": 1, "max_submitted": 2}
    sizes = {"max_slots": 3, "max_nodes": 4, "max_gpus": 5, "max_memory_mib": 6}
    shared = SharedLimits(**counts, **sizes)
    one = JobLimits(max_slots=7, max_nodes=8, max_gpus=9, max_memory_mib=10, max_time_s=90)
    qos = Qos("all", per_job=one, per_user=shared, per_account=shared, in_all=shared)
    [line, _] = (
        associations(replace(TOPOLOGY, model=ClusterModel(qos=(qos,)))).decode().splitlines()
    )
    resources = "cpu=3,node=4,mem=6M"
    assert set(line.split()[3:]) == {
        "Priority=0",
        "UsageFactor=1",
        "MaxTRESPerJob=cpu=7,node=8,mem=10M",
        "MaxWallDurationPerJob=2",
        *(f"Grp{what}" for what in ("Jobs=1", "SubmitJobs=2", f"TRES={resources}")),
        *(
            f"Max{what}Per{whose}={value}"
            for whose in ("User", "Account")
            for what, value in (("Jobs", 1), ("SubmitJobs", 2), ("TRES", resources))
        ),
    }


def test_limits_on_gpus_are_told_once_a_controller_counts_gpus() -> None:
    three = SharedLimits(max_gpus=3, max_slots=8)
    model = ClusterModel(
        accounts=(Account("lab", in_all=three),),
        users=(User("ada", 20_001, ("lab",), per_job=JobLimits(max_gpus=1)),),
        qos=(Qos("high", per_user=three),),
    )
    head, *others = TOPOLOGY.nodes
    nodes = (head, *(replace(node, gpus=2) for node in others))
    topology = replace(TOPOLOGY, nodes=nodes, model=model)
    assert b"gres" not in associations(topology)
    assert gpu_limits(topology).decode().splitlines() == [
        "modify qos high set MaxTRESPerUser=gres/gpu=3",
        "modify account lab set GrpTRES=gres/gpu=3",
        "modify user ada set MaxTRESPerJob=gres/gpu=1",
    ]
    stages = [
        stage.name
        for stage in SLURM.plan(topology, SlurmParams(), SLURM.scheduler.make_secrets()).stages
    ]
    assert stages[-4:] == ["accounts", "controller", "limits on GPUs", "nodes"]
    # Slurm would refuse them where no node has one, and nobody gets one there.
    assert gpu_limits(replace(TOPOLOGY, model=model)) == b""


def test_the_quality_of_service_that_slurm_makes_is_changed_and_not_made() -> None:
    model = ClusterModel(qos=(Qos("normal", priority=10),))
    told = associations(replace(TOPOLOGY, model=model)).decode().splitlines()
    assert told[0] == "modify qos normal set Priority=10 UsageFactor=1"


def test_nobody_is_told_where_there_is_nobody() -> None:
    assert associations(TOPOLOGY) == b""
    assert "accounts" not in [stage.name for stage in plan(ClusterModel()).stages]
    assert ASSOCIATIONS in contents()


def test_slurmdbds_accounts_are_read() -> None:
    text = (
        "3|COMPLETED|1767225650|1767225710\n4|CANCELLED by 0|None|1767225711\n"
        "5|PENDING|Unknown|Unknown\n6_1|COMPLETED|1|2\n6_[2-4%1]|CANCELLED by 0|None|9\n"
    )
    found = accounts.parse(text)
    assert (found["3"].state, found["3"].start_s, found["3"].end_s) == (
        "COMPLETED",
        1767225650.0,
        1767225710.0,
    )
    assert (found["4"].start_s, found["5"].end_s) == (None, None)
    # Tasks of an array by their numbers, but for those that never began.
    assert list(found) == ["3", "4", "5", "6_1"]
    assert SLURM.parse_accounting(text) == found
    assert SLURM.final_state("PREEMPTED") == "cancelled"


@pytest.mark.parametrize(
    "line", ["3|COMPLETED|1767225650", "x|COMPLETED|1|2", "3|COMPLETED|soon|2", "sacct: error"]
)
def test_what_is_no_line_of_sacct_is_an_error_that_keeps_it(line: str) -> None:
    with pytest.raises(ParseError) as caught:
        accounts.parse(line)
    assert caught.value.raw == line


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Have a sacct of so many lines per format write the log; what is said, and the files."""
    files = {f"{tmp_path}/{path.rpartition('/')[2]}": of for path, of in job_log.FILES.items()}
    monkeypatch.setattr(job_log, "FILES", files)
    (tmp_path / "t0").write_text("1893456000123456\n")
    (tmp_path / "sdiag").write_text("#!/bin/sh\necho 'DBD Agent queue size: 0 '\n")

    def write(sacct):
        (tmp_path / "sacct").write_text(f"#!/bin/bash\n{sacct}\n")
        for program in ("sacct", "sdiag"):
            (tmp_path / program).chmod(0o755)
        log = job_log_of(SLURM, f"{tmp_path}/t0")
        done = subprocess.run(
            log.command,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "TZ": "Asia/Tokyo"},
            capture_output=True,
            text=True,
            check=True,
        )
        there = [path for path in map(Path, log.files) if path.exists()]
        return done.stdout, [gzip.decompress(path.read_bytes()).decode() for path in there]

    return write


def test_the_log_of_all_jobs_is_what_import_asks_sites_for(written) -> None:
    said, [table, whole] = written('echo "$TZ $*"')
    since = "-a -X -D -S 2030-01-01T00:00:01\n"
    assert (said, whole) == ("", f"UTC0 --json {since}")
    assert table == f"UTC0 -P --format={COLUMNS} {since}"


def test_what_of_the_log_cannot_be_written_is_said_and_fails_nothing(written) -> None:
    said, [table] = written('[[ $1 = -P ]] && exec echo table; echo "no parser" >&2; exit 1')
    assert table == "table\n"
    assert re.fullmatch(r"\S+/sacct.json.gz: sacct --json .* failed: no parser\n", said)


def test_a_log_that_is_too_large_stays_where_it_is(written, monkeypatch) -> None:
    monkeypatch.setattr(job_log, "LARGEST", 1000)
    said, [table] = written("[[ $1 = -P ]] && exec echo table; head -c 9000 /dev/urandom")
    assert table == "table\n"
    assert said.endswith("/sacct.json.gz: more than 1000 bytes\n")


def test_only_slurmdbd_has_a_log_of_all_jobs() -> None:
    assert job_log_of(PLAIN, "t0") is None and job_log_of(bound("flux"), "t0") is None


def test_health_asks_for_database_and_slurmdbd_on_the_head_alone() -> None:
    on_head = " ".join(SLURM.health_command([TOPOLOGY.head]))
    on_node = " ".join(SLURM.health_command(TOPOLOGY.compute))
    for unit in (database.DATABASE_UNIT, "slurmdbd.service"):
        assert unit in on_head and unit not in on_node


def test_only_an_image_with_slurmdbd_expresses_accounts() -> None:
    assert Lever.ACCOUNTS in SLURM.expresses
    assert not PLAIN.expresses & database.LEVERS
    assert SLURM.scheduler.images[Lever.QOS] == IMAGE


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("no_fair_tree,ACCRUE_ALWAYS", "ACCRUE_ALWAYS,NO_FAIR_TREE"),
        ("DEPTH_OBLIVIOUS", "DEPTH_OBLIVIOUS,NO_FAIR_TREE"),
        ("NO_NORMAL_ALL", ",".join(flag for flag in PRIORITY_FLAGS if "NORMAL" in flag)),
    ],
)
def test_flags_are_spelled_as_slurm_shows_them(text: str, means: str) -> None:
    assert priority_flags(text) == means


def test_fair_tree_is_the_word_for_no_flag_and_a_stranger_is_refused() -> None:
    assert priority_flags("FAIR_TREE,MAX_TRES") == "MAX_TRES"
    assert priority_flags("FAIR_TREE") == priority_flags("") == "FAIR_TREE"
    assert SlurmParams().PriorityFlags == "FAIR_TREE"  # as Slurm's own default
    with pytest.raises(ValueError, match=re.escape("'STRANGER'")):
        priority_flags("STRANGER")
