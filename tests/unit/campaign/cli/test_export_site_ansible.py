"""`export ansible NAME:TRIAL`: the playbook leaves the file that the patch makes, once."""

import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from campaign import __main__ as surrounding
from campaign.core.errors import ConfigError
from campaign.core.exits import USER_ERROR
from campaign.report.site_playbook import edits
from tests.unit.campaign.cli.site_campaign import site_campaign

CONF = """\
ClusterName=big  # ours, {{ not }} a template
Include priority.conf
SchedulerParameters=bf_max_job_user=100,\\
bf_interval=60,bf_continue
PartitionName=normal Nodes=n[1-9]
"""
SEARCHED = (
    "scheduler.params.bf_interval=[1,300]",
    "scheduler.params.PriorityWeightAge={choices: [1000, 7]}",
    "scheduler.params.lines.CompleteWait={choices: [0, 32]}",
    "search.baseline={scheduler.params.bf_interval: 60, scheduler.params.PriorityWeightAge: 1000}",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with the results of a simulated campaign of four trials."""
    return site_campaign(tmp_path_factory.mktemp("exported"), "cluster.nodes=2", *SEARCHED)


@pytest.fixture
def conf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "priority.conf").write_text("PriorityWeightAge=1000\n")
    file = tmp_path / "slurm.conf"
    file.write_text(CONF)
    return file


def exported(results, what, trial, out):
    words = (f"site:{trial}", "--against", "slurm.conf", "--results", str(results), "--out", out)
    assert surrounding.main(["export", what, *words]) == 0


def played(folder, *options):
    """What the playbook prints that is played on this machine, on the files in a folder."""
    told = f"touch {folder}/told"
    values = {"site_hosts": "localhost", "site_become": "false", "site_folder": folder}
    settings = [f"-e{key}={value}" for key, value in values.items()]
    command = (sys.executable, "-m", "ansible", "playbook", "-clocal", "change.yml", *settings)
    own = {"ANSIBLE_HOME": str(Path.cwd() / "home"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        (
            *command,
            f"-esite_tell={told!r}",
            f"-eansible_python_interpreter={sys.executable}",
            *options,
        ),
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_playbook_leaves_what_the_patch_makes_and_nothing_to_do(results, conf, tmp_path):
    pytest.importorskip("ansible")
    exported(results, "config", 3, "change.patch")
    exported(results, "ansible", 3, "change.yml")
    copy = tmp_path / "etc"
    copy.mkdir()
    for name in ("slurm.conf", "priority.conf"):
        shutil.copy(name, copy)

    looked = played(copy, "--check", "--diff")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert "+PriorityWeightAge=7" in looked.stdout
    assert (copy / "slurm.conf").read_text() == CONF
    assert not (copy / "told").exists()

    done = played(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (copy / "told").exists()
    assert CONF in [one.read_text() for one in copy.glob("slurm.conf.*")]
    subprocess.run(("patch", "-p0", "--fuzz=0", "--input", "change.patch"), check=True)
    for name in ("slurm.conf", "priority.conf"):
        assert (copy / name).read_text() == Path(name).read_text()

    (copy / "told").unlink()
    again = played(copy)
    assert "changed=0 " in again.stdout and "failed=0 " in again.stdout
    assert not (copy / "told").exists()


def test_a_file_that_has_changed_since_is_left_alone(results, conf, tmp_path):
    pytest.importorskip("ansible")
    exported(results, "ansible", 3, "change.yml")
    conf.write_text(CONF.replace("bf_interval=60", "bf_interval=61"))
    done = played(tmp_path)
    assert done.returncode != 0
    assert "has changed since" in done.stdout
    assert "bf_interval=61" in conf.read_text()


def test_its_head_says_which_settings_change_and_what_they_did(results, conf):
    exported(results, "ansible", 3, "change.yml")
    text = Path("change.yml").read_text()
    assert text.startswith("# Trial 3 (simulation), beside the baseline, trial 0:\n#   awrt_s ")
    assert "# PriorityWeightAge: 1000 -> 7: weight of the time spent waiting" in text
    [play] = yaml.load(text, Loader=yaml.BaseLoader)
    assert [task["name"] for task in play["tasks"] if "ansible.builtin.replace" in task]
    assert play["vars"]["site_folder"] == "/etc/slurm"


def test_a_trial_without_the_sites_file_is_refused(results, conf, capsys):
    words = ["export", "ansible", "site:3", "--results", str(results)]
    assert surrounding.main(words) == USER_ERROR
    assert "Add --against slurm.conf" in capsys.readouterr().err


@pytest.mark.parametrize("old", ["A=1\nB=2\nC=3\n", "A=1\nC=3\n", "A=1\nB=2\nB=2\n", "B=2"])
@pytest.mark.parametrize("new", ["A=1\nB=3\nC=3\n", "A=1\nC=3\nD=4\nE=5\n", "A=1\nB=2\nB=4\n"])
def test_edits_are_exact_or_refused(old, new):
    try:
        found = edits(Path("slurm.conf"), old, new)
    except ConfigError as error:
        assert "slurm.conf, line" in error.brief
        return
    lines = old.splitlines()
    for one in found:
        at = (
            next(
                (at for at in range(len(lines)) if one.old == tuple(lines[at : at + len(one.old)])),
                len(lines),
            )
            if one.old
            else len(lines)
        )
        lines[at : at + len(one.old)] = one.new
    assert lines == new.splitlines(), list(difflib.unified_diff(lines, new.splitlines()))
