"""`export config` as its users meet it: what a trial would change in a site's slurm.conf."""

import subprocess

import pytest

from campaign import __main__ as surrounding
from campaign.core.exits import USER_ERROR
from schedulers.slurm.site import read_site
from tests.unit.campaign.cli.site_campaign import site_campaign

CONF = """\
ClusterName=big  # ours
SchedulerParameters=bf_max_job_user=100,\\
bf_interval=60,bf_continue
PriorityWeightAge=1000
PartitionName=normal Nodes=n[1-9]
"""
SEARCHED = (
    "scheduler.params.bf_interval=[1,300]",
    "scheduler.params.bf_max_job_user={choices: [100, 144]}",
    "scheduler.params.PriorityWeightJobSize=[0,1000]",
    "search.baseline={scheduler.params.bf_interval: 60, scheduler.params.bf_max_job_user: 100}",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with the results of a simulated campaign of four trials."""
    return site_campaign(tmp_path_factory.mktemp("exported"), "cluster.nodes=[2,4]", *SEARCHED)


@pytest.fixture
def conf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "slurm.conf"
    file.write_text(CONF)
    return file


def exported(results, *arguments):
    return surrounding.main(["export", "config", *arguments, "--results", str(results)])


def patched(patch):
    # Without fuzz: each line of context must stand where the patch says.
    command = ("patch", "-p0", "--fuzz=0", "--input", patch)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "offset" not in done.stdout


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"])
def test_a_patch_that_reaches_the_end_of_the_file_fits(results, conf, end):
    conf.write_text(f"SchedulerParameters=bf_interval=60{end}")
    assert exported(results, "site:3", "--against", "slurm.conf", "--out", "x.patch") == 0
    patched("x.patch")
    lines = conf.read_text().splitlines()
    assert lines[-1].startswith("PriorityWeightJobSize=")
    assert lines.count("") == max(len(end) - 1, 0)


def test_a_file_that_is_not_utf_8_is_read_and_not_patched(results, conf, capsys):
    conf.write_bytes(b"# caf\xe9\nPriorityWeightAge=1\n")
    assert exported(results, "site:3", "--against", "slurm.conf") == USER_ERROR
    assert "not UTF-8" in capsys.readouterr().err


def test_the_patched_file_has_the_trials_settings_and_all_else_as_before(results, conf, capsys):
    assert exported(results, "site:2", "--against", "slurm.conf", "--out", "x.patch") == 0
    assert "`patch -p0 < x.patch` makes it" in capsys.readouterr().out
    patched("x.patch")
    text = conf.read_text()
    for line in CONF.splitlines():
        assert line in text or line.startswith(("SchedulerParameters", "bf_interval"))
    # It would be the baseline of another campaign, with nothing more to change.
    assert exported(results, "site:2", "--against", "slurm.conf") == 0
    assert "has the settings of site:2 already" in capsys.readouterr().out
    assert read_site(conf).params["bf_continue"] is True


def test_the_patch_says_what_it_is_good_for(results, conf, capsys):
    assert exported(results, "site:3", "--against", "slurm.conf") == 0
    said = capsys.readouterr().out
    assert said.startswith("# Trial 3 (simulation), beside the baseline, trial 0:\n")
    assert "#   awrt_s " in said
    assert "# PriorityWeightJobSize: 0 -> " in said
    assert "+PriorityWeightJobSize=" in said
    assert conf.read_text() == CONF


def test_settings_without_an_effect_on_the_trial_are_named(results, conf, capsys):
    for trial in range(4):
        assert exported(results, f"site:{trial}", "--against", "slurm.conf") == 0
    said = capsys.readouterr().out
    assert "# bf_max_job_user: 100 -> 144 (not simulated: no effect of it was seen)" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("site:9", "--against", "slurm.conf"), "site:9: the campaign site has no such trial"),
        (("site", "--against", "slurm.conf"), "'site' names no trial"),
        (("site:1",), "it takes a trial and the site's file"),
        (("site:1", "--against", "none.conf"), "none.conf: No such file"),
        (("none:1", "--against", "slurm.conf"), "none"),
    ],
)
def test_what_cannot_be_exported_is_refused(results, conf, arguments, says, capsys):
    assert exported(results, *arguments) == USER_ERROR
    assert says in capsys.readouterr().err
