"""`import` as its users meet it: a log in, one file out that campaigns replay; refusals."""

from pathlib import Path

import pytest

from campaign import __main__ as surrounding
from campaign.config.compose import compose
from campaign.core.exits import USER_ERROR
from campaign.core.sacct_command import COMMAND
from campaign.testbeds.preflight import workload_for
from campaign.workloads.sacct import read_sacct
from campaign.workloads.swf import read_swf
from campaign.workloads.table import read_table

CASES = Path(__file__).parents[1] / "workloads" / "cases"
LOG = str(CASES / "sacct-P.txt")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(*arguments):
    return surrounding.main(["import", *map(str, arguments)])


def test_a_log_becomes_a_file_that_a_campaign_replays_as_the_log(capsys):
    assert imported(LOG, "--out", "log.parquet", "workload.time_zone=Europe/Berlin") == 0
    said = capsys.readouterr().out
    assert "log.parquet: 3 jobs" in said
    assert "jobs that never started left out: 1 job" in said
    assert "partition of 3 jobs: not replayed" in said
    workload = read_sacct(Path(LOG), time_zone="Europe/Berlin")
    assert read_table(Path("log.parquet")) == workload
    settings = ("testbed=simulation", "cluster.nodes=8", "cluster.slots_per_node=1")
    # Neither names a kind: it is that of the file.
    for file, more in (("log.parquet", ()), (LOG, ("workload.time_zone=Europe/Berlin",))):
        composed = compose([*settings, f"workload.path={file}", *more])
        replayed = workload_for(composed.campaign, composed.schedulers, composed.space)
        assert replayed.hash == workload.hash


CONF = """\
SchedulerParameters=bf_interval=60,bf_foo=1
PriorityWeightAge=1000
PartitionName=normal Nodes=n[1-9]
"""


def test_a_sites_settings_become_an_option_of_the_group_scheduler_and_the_baseline(folder, capsys):
    (folder / "slurm.conf").write_text(CONF)
    assert imported("slurm.conf", "--out", "site/scheduler/ours.yaml") == 0
    said = capsys.readouterr().out
    assert "site/scheduler/ours.yaml: 3 parameters of slurm" in said
    assert "line 1: bf_foo=1 (no option that Slurm 24.11 is known to have)" in said
    assert "line 3: PartitionName=normal (import with --cluster" in said
    searched = "scheduler.params.bf_interval=[10,120]"
    composed = compose(["testbed=simulation", "scheduler=ours", searched], folder / "site")
    assert composed.space.fixed["scheduler.params.PriorityWeightAge"] == 1000
    assert composed.space.fixed["scheduler.params.options.bf_foo"] == 1
    # Slurm's own default is 30.
    assert composed.baseline.point["scheduler.params.bf_interval"] == 60


@pytest.mark.parametrize(
    ("content", "out", "says"),
    [
        ("PriorityWeightAge=1\n", "x.parquet", "x.parquet is no FILE.yaml"),
        ("ClusterName=x\n", "x.yaml", "no line of it is a parameter"),
        ("no pair\n", "x.yaml", "slurm.conf, line 1: not Key=value"),
    ],
)
def test_settings_that_cannot_be_imported_are_refused(content, out, says, folder, capsys):
    (folder / "slurm.conf").write_text(content)
    assert imported("slurm.conf", "--out", out) == USER_ERROR
    assert says in capsys.readouterr().err
    assert not (folder / out).exists()


def test_settings_are_not_anonymised_in_silence(folder, capsys):
    (folder / "slurm.conf").write_text(CONF)
    assert imported("slurm.conf", "--out", "x.yaml", "--anonymise") == USER_ERROR
    assert "--anonymise has no effect on settings" in capsys.readouterr().err


def test_help_prints_the_command_that_writes_a_log(capsys):
    with pytest.raises(SystemExit):
        imported("--help")
    assert COMMAND in capsys.readouterr().out


def test_a_table_is_imported_by_a_map_and_without_names(capsys):
    columns = "{job_id: job_id, user: user, width: cores, arrival: submit_time, "
    columns += "start: start_time, end: end_time, requested: limit_s, gpus: gpus}"
    table = CASES / "job-log.csv"
    words = (table, f"workload.columns={columns}", "--anonymise", "--out", "a.parquet")
    assert imported(*words) == 0
    assert "job-log" not in capsys.readouterr().out.replace(str(table), "")
    assert read_table(Path("a.parquet")).traits.column("gpus").to_pylist() == [0, 2]
    assert b"job-log" not in Path("a.parquet").read_bytes()


def test_a_log_is_shown_and_converted_as_traces_are(capsys):
    assert surrounding.main(["workload", "show", LOG]) == 0
    assert "3 of 3 users" in capsys.readouterr().out
    assert surrounding.main(["workload", "convert", LOG, "--out", "log.swf"]) == 0
    assert len(read_swf(Path("log.swf"))) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((LOG,), "no file to write"),
        ((LOG, "--out", "a.parquet", "--with-dates"), "no effect without --anonymise"),
        ((LOG, "--out", "a.swf"), "--out FILE.parquet"),
        (("none.txt", "--out", "a.parquet"), "there is no file none.txt"),
        ((LOG, "--out", "a.parquet", "workload.columns={width: x}"), "no effect on"),
        ((LOG, "--out", "a.parquet", "workload.time_zone=Mars"), "no time zone of that name"),
        ((LOG, "--out", "there.parquet"), "exists"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, words, capsys):
    Path("there.parquet").write_text("")
    assert imported(*arguments) == USER_ERROR
    assert words in capsys.readouterr().err
    assert not Path("a.parquet").exists()


def test_a_kind_that_was_chosen_stays(capsys):
    composed = compose(["workload=batsim", f"workload.path={LOG}"])
    assert composed.campaign.workload.kind == "batsim"
