"""`import` of a site's cluster: its option composes, or is refused for what can't be had."""

from pathlib import Path

import pytest

from campaign import __main__ as surrounding
from campaign.config.compose import compose
from campaign.core.errors import ConfigError
from campaign.core.exits import USER_ERROR
from campaign.core.levers import Lever
from schedulers.slurm.adapter import Slurm

SITES = Path(__file__).parents[2] / "schedulers" / "sites"
NAMES = sorted(folder.name for folder in SITES.iterdir())


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site" / "scheduler").mkdir(parents=True)
    return tmp_path / "site"


def imported(name, *options):
    folder = SITES / name
    people = [folder / f"{one}.txt" for one in ("people", "qos", "assoc")]
    words = [folder / "slurm.conf", "--cluster", *options]
    words += [word for file in people if file.exists() for word in ("--accounts", file)]
    for option, file in (("--gres", "gres.conf"), ("--reservations", "reservations.txt")):
        words += [option, folder / file] if (folder / file).exists() else []
    words += ["--out", "site/scheduler/ours.yaml", "--force"]
    return surrounding.main(["import", *map(str, words)])


@pytest.mark.parametrize("name", NAMES)
def test_what_a_site_has_composes_or_is_refused_by_name(name, site, monkeypatch):
    assert imported(name, "--nodes", "3") in (0, USER_ERROR)
    if name == "tiny":  # it has one node
        assert imported(name) == 0
    words = ["testbed=simulation", "scheduler=ours"]
    try:
        compose(words, site)
    except ConfigError as error:
        told = [line for line in str(error).splitlines() if "allowed:" in line]
        assert told
        assert all("can't express" in line for line in told)
    monkeypatch.setattr(Slurm, "expresses", frozenset(Lever))
    composed = compose(words, site)
    assert sum(group.nodes for group in composed.campaign.cluster.groups.values()) <= 6


def test_a_scaled_cluster_says_what_that_distorts(site, capsys):
    assert imported("hpc-centre", "--scale", "1/16") == 0
    said = capsys.readouterr().out
    assert "scaled from 1056 nodes and 135168 slots to 66 nodes and 8448 slots" in said
    assert "workload.wide=scale workload.machine=135168" in said
    text = (site / "scheduler" / "ours.yaml").read_text()
    assert "min_nodes: 16" in text
    assert "# scaled from 1056 nodes" in text


def test_each_group_keeps_a_node(site, capsys):
    assert imported("gpu-lab", "--nodes", "2") == 0
    said = capsys.readouterr().out
    assert "3 nodes instead of 2, since each group has one at least" in said
    assert "distort the share of" in said


def test_limits_in_slots_shrink_and_those_in_jobs_stay(site):
    assert imported("university", "--scale", "1/4") == 0
    text = (site / "scheduler" / "ours.yaml").read_text()
    assert "per_user: {max_slots: 120, max_gpus: 2}" in text
    assert "per_user: {max_jobs: 2, max_submitted: 4, max_slots: 12}" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--scale", "2"), "expected a share"),
        (("--scale", "1/2", "--nodes", "3"), "say the same thing"),
        (("--begin", "today"), "not a time"),
        (("--begin", "2026-01-01"), "no effect without --reservations"),
        (("--nodes", "400"), "the site has 17 nodes"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, says, site, capsys):
    folder = SITES / "gpu-lab"
    words = ["import", str(folder / "slurm.conf"), *options, "--out", "site/scheduler/x.yaml"]
    assert surrounding.main(words) == USER_ERROR
    assert says in capsys.readouterr().err


def test_options_of_a_cluster_have_no_effect_on_a_log(site, capsys):
    assert surrounding.main(["import", "log.txt", "--cluster", "--out", "x.parquet"]) == USER_ERROR
    assert "--cluster has no effect on a log" in capsys.readouterr().err
