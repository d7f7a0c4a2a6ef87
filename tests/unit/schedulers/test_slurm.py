"""The Slurm adapter: what it builds is what Slurm reads, and what Slurm prints is read or refused.

Texts of Slurm's tools were recorded from slurm-wlm 24.11.5.
"""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from campaign.core.errors import ConfigError, WorkloadError
from campaign.core.jobs import Job
from schedulers.base import File, Node, ParseError, Topology
from schedulers.facts import ImageFacts
from schedulers.registry import adapter, names
from schedulers.slurm.params import SlurmParams, conf_values, parse_config
from schedulers.slurm.spelling import ALLOCATED, FLAGS, seconds, select_parameters
from tests.adapters import bound, facts_of

SLURM = bound("slurm")
TOPOLOGY = Topology(
    "c7",
    (
        Node("head", "head", "10.9.0.1", 4, 512),
        Node("n1", "compute", "10.9.0.2", 4, 512),
        Node("n2", "compute", "10.9.0.3", 4, 512),
    ),
)
COMPLETED = (
    "JobId=3 UserId=root(0) GroupId=root(0) Name=j3 JobState=COMPLETED Partition=main TimeLimit=1 "
    "StartTime=2026-11-23T00:27:21 EndTime=2026-11-23T00:27:23 NodeList=n[2-3] NodeCnt=2 "
    "ProcCnt=6 WorkDir=/ "
    "ReservationName= Tres=cpu=6,mem=768M,node=2,billing=6 Account= QOS= WcKey= Cluster=unknown "
    "SubmitTime=2026-11-23T00:27:19 EligibleTime=2026-11-23T00:27:19 DerivedExitCode=0:0 "
    "ExitCode=0:0 "
)


def job(width: int = 1, requested_s: float = 60.0) -> Job:
    return Job(5, 0.0, width, 1.0, requested_s, 0)


def shown(params: SlurmParams) -> str:
    """What `scontrol show config` prints of parameters: aligned, its own spelling and case, other
    lines around."""
    lines = {"AccountingStorageType": "accounting_storage/none"} | conf_values(params)
    lines["SelectTypeParameters"] = lines["SelectTypeParameters"].upper()
    lines["PriorityFavorSmall"] = lines["PriorityFavorSmall"].lower()
    lines["PriorityWeightFairShare"] = lines.pop("PriorityWeightFairshare")
    if params.PriorityType == "priority/basic":
        lines = {
            key: value
            for key, value in lines.items()
            if key == "PriorityType" or not key.startswith(("Priority", "FairShare"))
        }
    body = "\n".join(f"{key:<23} = {value}" for key, value in lines.items())
    return (
        f"Configuration data as of 2026-11-23T00:26:11\n{body}\n\nSlurmctld(primary) at head "
        "is UP\n"
    )


params = st.builds(
    SlurmParams,
    SchedulerType=st.sampled_from(["sched/backfill", "sched/builtin"]),
    bf_interval=st.integers(1, 10_800) | st.just(-1),
    bf_max_job_user=st.integers(0, 10**6),
    bf_hetjob_prio=st.sampled_from(["off", "min", "avg", "max"]),
    bf_licenses=st.booleans(),
    Ignore_NUMA=st.booleans(),
    sched_interval=st.integers(1, 3600) | st.just(-1),
    bf_continue=st.booleans(),
    defer=st.booleans(),
    PriorityType=st.sampled_from(["priority/multifactor", "priority/basic"]),
    PriorityWeightFairshare=st.integers(0, 10**9),
    PriorityDecayHalfLife=st.integers(0, 10**6),
    PriorityUsageResetPeriod=st.sampled_from(["NONE", "DAILY", "YEARLY"]),
    PriorityFlags=st.sampled_from(["ACCRUE_ALWAYS", "ACCRUE_ALWAYS,NO_FAIR_TREE", "MAX_TRES"]),
    FairShareDampeningFactor=st.integers(1, 65_533),
    PriorityFavorSmall=st.booleans(),
    PriorityMaxAge=st.integers(1, 525_600),
    SelectTypeParameters=st.builds(
        lambda unit, flags: ",".join([unit, *flags]),
        st.sampled_from(ALLOCATED),
        st.lists(st.sampled_from(FLAGS), unique=True),
    ),
)


@settings(deadline=None)
@given(params)
def test_every_parameter_is_written_and_read_back(asked: SlurmParams) -> None:
    found = parse_config(shown(asked))
    wanted = asked.model_dump()
    missing = set(wanted) - set(found)
    assert found == {name: wanted[name] for name in found}
    assert missing == set() or asked.PriorityType == "priority/basic"
    assert all(name.startswith(("Priority", "FairShare")) for name in missing)


def test_another_value_is_seen() -> None:
    found = SLURM.parse_config(shown(SlurmParams(bf_interval=7)))
    assert found["bf_interval"] == 7 != SlurmParams().bf_interval


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bf_interval=30,", ""),
        ("SchedulerType ", "Scheduler_Type "),
        ("sched/backfill", "sched/other"),
        ("bf_window=1440", "bf_window=a day"),
        ("7-00:00:00", "a week"),
    ],
)
def test_config_that_is_not_ours_is_an_error(old: str, new: str) -> None:
    text = shown(SlurmParams())
    assert old in text
    with pytest.raises(ParseError):
        SLURM.parse_config(text.replace(old, new))


@pytest.mark.parametrize(
    "wrong",
    [
        {"bf_interval": 0},
        {"sched_interval": 0},
        {"bf_window": 43_201},
        {"max_rpc_cnt": 1001},
        {"PriorityMaxAge": "a week"},
        {"SelectTypeParameters": "CR_LLN"},
        {"SelectTypeParameters": "CR_Core,CR_Core"},
        {"SelectTypeParameters": "CR_Core,CR_Socket"},
        {"SchedulerType": "sched/hold"},
        {"bf_intervall": 3},
        {"defer": 7},
    ],
)
def test_params_out_of_bounds_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SlurmParams(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("7-0", 604_800),
        ("1-02:03:04", 93_784),
        ("1-2:3", 93_780),
        ("2:03:04", 7384),
        ("5:30", 330),
        ("90", 5400),
    ],
)
def test_durations_are_read_as_slurm_reads_them(text: str, means: int) -> None:
    assert seconds(text) == means


@pytest.mark.parametrize("text", ["", "7-", "-0", "1:2:3:4", "1-2:3:4:5", "1.5", "a", "٣"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Slurm writes a duration"):
        seconds(text)


def test_a_sites_own_spelling_is_understood() -> None:
    params = SlurmParams(PriorityMaxAge="7-0", SelectTypeParameters="cr_lln,CR_CORE_MEMORY")  # type: ignore[arg-type]
    assert params.PriorityMaxAge == 7 * 24 * 60
    assert params.SelectTypeParameters == select_parameters("CR_Core_Memory,CR_LLN")


def test_options_that_few_sites_set_are_written_where_they_are_set() -> None:
    line = conf_values(SlurmParams(max_rpc_cnt=150, defer_batch=True))["SchedulerParameters"]
    assert line.endswith("batch_sched_delay=3,max_rpc_cnt=150,defer_batch")
    assert "bf_max_job_user" not in line


def conf_of(*, params: SlurmParams | None = None) -> list[str]:
    plan = SLURM.plan(TOPOLOGY, params or SlurmParams(), SLURM.scheduler.make_secrets())
    (conf,) = (file for _, file in plan.files() if file.path.endswith("/slurm.conf"))
    return conf.content.decode().splitlines()


def test_slurm_conf_names_nodes_and_parameters() -> None:
    lines = conf_of(params=SlurmParams(bf_interval=5, defer=True))
    assert "SlurmctldHost=head(10.9.0.1)" in lines
    assert "NodeName=n2 NodeAddr=10.9.0.3 CPUs=4 RealMemory=512 State=UNKNOWN" in lines
    assert "PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP" in lines
    assert not any(line.startswith("NodeName=head") for line in lines)
    (options,) = (line for line in lines if line.startswith("SchedulerParameters="))
    assert {"bf_interval=5", "defer"} <= set(options.partition("=")[2].split(","))
    assert "bf_continue" not in options
    keys = [
        line.partition("=")[0]
        for line in lines
        if "=" in line and not line.startswith(("#", "NodeName"))
    ]
    assert len(keys) == len(set(keys))


def test_plan_gives_each_node_what_it_needs() -> None:
    secrets = SLURM.scheduler.make_secrets()
    facts = facts_of(SLURM.scheduler)
    renamed = ImageFacts("mine", {**facts.values, "unit.slurmd": "slurmd-other.service"})
    plan = SLURM.scheduler.for_image(renamed).plan(TOPOLOGY, SlurmParams(), secrets)
    controller, nodes = plan.stages
    assert [unit.name for unit in controller.steps["head"].units] == [
        "munge.service",
        "slurmctld.service",
    ]
    for name in ("n1", "n2"):
        assert [unit.name for unit in nodes.steps[name].units] == ["slurmd-other.service"]
        assert nodes.steps[name].files[0].content == b"SLURMD_OPTIONS=--conf-server=10.9.0.1:6817\n"
    keys = [file for _, file in plan.files() if file.secret]
    assert (
        keys
        == [File("/etc/munge/munge.key", secrets["munge.key"], 0o400, "munge", secret=True)] * 3
    )
    (ready,) = nodes.steps["head"].probes
    assert re.fullmatch(ready.expect, "2")
    assert not re.fullmatch(ready.expect, "1")


def test_plans_differ_by_parameters_and_not_by_secrets() -> None:
    one, same = (
        SLURM.plan(TOPOLOGY, SlurmParams(), SLURM.scheduler.make_secrets()) for _ in range(2)
    )
    assert one.digest == same.digest
    assert (
        one.digest
        != SLURM.plan(TOPOLOGY, SlurmParams(bf_interval=1), SLURM.scheduler.make_secrets()).digest
    )


def test_secrets_are_new_each_time_and_never_printed() -> None:
    one = SLURM.scheduler.make_secrets()
    other = SLURM.scheduler.make_secrets()
    assert one != other
    plan = SLURM.plan(TOPOLOGY, SlurmParams(), one)
    assert str(one["munge.key"]) not in repr(plan) + repr(one)


def test_reconfigure_touches_the_head_only() -> None:
    (stage,) = SLURM.reconfigure(TOPOLOGY, SlurmParams(bf_interval=1)).stages
    assert list(stage.steps) == ["head"]
    assert (
        stage.steps["head"].files[0].content
        == "\n".join(conf_of(params=SlurmParams(bf_interval=1))).encode() + b"\n"
    )
    assert stage.steps["head"].units == ()


@pytest.mark.parametrize(("width", "nodes"), [(1, 1), (4, 1), (5, 2), (8, 2)])
def test_a_job_takes_the_fewest_nodes(width: int, nodes: int) -> None:
    assert SLURM.scheduler.nodes_needed(job(width), TOPOLOGY) == nodes


@pytest.mark.parametrize("width", [0, 9])
def test_a_job_that_never_fits_is_refused(width: int) -> None:
    with pytest.raises(WorkloadError, match=f"job 5 is {width} slots wide"):
        SLURM.job_script(job(width), TOPOLOGY, "true")


@pytest.mark.parametrize(
    ("requested_s", "minutes"), [(0, 1), (1, 1), (60, 1), (60.5, 2), (120, 2), (86_400, 1440)]
)
def test_limits_are_whole_minutes(requested_s: float, minutes: int) -> None:
    assert (
        f"#SBATCH --time={minutes}\n"
        in SLURM.job_script(job(1, requested_s), TOPOLOGY, "true").decode()
    )


def test_single_node_script_runs_its_payload(tmp_path: Path) -> None:
    script = tmp_path / "job"
    script.write_bytes(SLURM.job_script(job(2), TOPOLOGY, "printf '%s' 'a b'"))
    assert "#SBATCH --ntasks=2\n" in script.read_text()
    assert subprocess.check_output(["bash", str(script)]) == b"a b"


def test_multi_node_script_runs_its_payload_once_per_node(tmp_path: Path) -> None:
    """With an srun that starts its command as often as --ntasks says."""
    srun = tmp_path / "srun"
    srun.write_text(
        "#!/bin/bash\n"
        "while [[ $1 == --* ]]; do [[ $1 == --ntasks=* ]] && n=${1#*=}; shift; done\n"
        'for ((i = 0; i < n; i++)); do "$@"; done\n'
    )
    srun.chmod(0o755)
    script = tmp_path / "job"
    script.write_bytes(SLURM.job_script(job(6), TOPOLOGY, "printf '<%s>' 'it'\"'\"'s'"))
    assert {"#SBATCH --nodes=2", "#SBATCH --ntasks=6"} <= set(script.read_text().splitlines())
    out = subprocess.check_output(["bash", str(script)], env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert out == b"<it's><it's>"


def test_answers_of_the_tools_are_read() -> None:
    assert SLURM.parse_submit("17\n") == SLURM.parse_submit("17;c7\n") == "17"
    assert (
        SLURM.parse_version("slurm-wlm 24.11.5\n")
        == SLURM.parse_version("slurm 24.11.5")
        == "24.11.5"
    )
    assert SLURM.parse_pending("") == {}
    waiting = SLURM.parse_pending(
        "12|R|None\n13_[1-4]|PD|Resources\n14+0|PD|Nodes required for job are DOWN, DRAINED\n"
    )
    assert waiting == {
        "12": "",
        "13_[1-4]": "Resources",
        "14+0": "Nodes required for job are DOWN, DRAINED",
    }


@pytest.mark.parametrize(
    ("state", "final"),
    [
        ("COMPLETED", "completed"),
        ("FAILED", "failed"),
        ("CANCELLED by 0", "cancelled"),
        ("NODE_FAIL", "node_lost"),
    ],
)
def test_states_of_ended_jobs_are_final_states(state, final) -> None:
    assert SLURM.final_state(state) == final


def test_a_state_of_a_job_that_has_not_ended_is_none() -> None:
    with pytest.raises(ParseError):
        SLURM.final_state("RUNNING")


def test_completion_log_is_read_in_utc() -> None:
    times = SLURM.parse_accounting(COMPLETED + "\n\n")["3"]
    assert (times.state, times.end_s - times.start_s) == ("COMPLETED", 2.0)
    assert times.start_s == 1_795_393_641.0


def test_a_task_of_an_array_is_called_by_the_arrays_number_in_the_completion_log() -> None:
    told = f"{COMPLETED} ArrayJobId=18 ArrayTaskId=4"
    assert list(SLURM.parse_accounting(told)) == ["18_4"]


def test_completion_log_survives_odd_but_legal_values() -> None:
    never = COMPLETED.replace("StartTime=2026-11-23T00:27:21", "StartTime=Unknown").replace(
        "=COMPLETED", "=CANCELLED"
    )
    spaces = (
        COMPLETED.replace("JobId=3", "JobId=4")
        .replace("Name=j3", "Name=my own job")
        .replace("WorkDir=/", "WorkDir=/a b")
    )
    found = SLURM.parse_accounting(f"{COMPLETED}\n{never}\n{spaces}\n")
    assert (found["3"].state, found["3"].start_s) == ("CANCELLED", None)
    assert found["4"].state == "COMPLETED"


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        ("parse_submit", "sbatch: error: invalid partition"),
        ("parse_submit", ""),
        ("parse_pending", "slurm_load_jobs"),
        ("parse_accounting", "garbage"),
        ("parse_accounting", COMPLETED.replace("EndTime=", "Ended=")),
        ("parse_accounting", COMPLETED.replace("2026-11-23T00:27:23", "yesterday")),
        ("parse_accounting", COMPLETED[:100]),
    ],
)
def test_foreign_text_is_an_error_that_keeps_it(parse: str, raw: str) -> None:
    with pytest.raises(ParseError) as caught:
        getattr(SLURM, parse)(raw)
    assert caught.value.raw == raw
    assert pickle.loads(pickle.dumps(caught.value)).raw == raw


def test_schedulers_are_found_by_their_folders() -> None:
    assert "slurm" in names()
    with pytest.raises(ConfigError, match=r"(?s)no scheduler 'slurp'.*slurm"):
        adapter("slurp")


def test_adapters_are_light_to_import() -> None:
    loaded = "print(*{'pyarrow', 'ray', 'jinja2'} & set(sys.modules))"
    code = f"import sys; from schedulers.registry import adapter; adapter('slurm'); {loaded}"
    root = Path(__file__).parents[3]
    assert subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True).strip() == ""
