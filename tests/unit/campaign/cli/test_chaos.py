"""Fault injection's command: how many campaigns of which kind run; its status and report."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from campaign.__main__ import main
from campaign.chaos import (
    clusters,
    commanded,
    crash_points,
    power,
    power_disk,
    signals,
    simulated,
)
from campaign.chaos.runs import ChaosRun
from campaign.core.exits import USER_ERROR

ROOT = Path(__file__).parents[4]


@pytest.fixture
def asked(monkeypatch):
    """Which seeds run where, in a chaos where the simulated seed 3 breaks an invariant."""
    done = []

    def on_hosts(seeds):
        done.append(("hosts", list(seeds)))
        return [ChaosRun(seed, broken=["orphans"] if seed == 3 else []) for seed in seeds]

    def on_vms(seeds, store, kind):
        done.append((kind.clock, list(seeds), store))
        return [ChaosRun(seed) for seed in seeds], 0.25

    monkeypatch.setattr(simulated, "run_seeds", on_hosts)
    monkeypatch.setattr(clusters, "run_seeds", on_vms)
    return done


def test_a_hundred_campaigns_on_simulated_hosts_run_unless_it_is_said_otherwise(asked):
    main(["chaos"])
    main(["chaos", "--vms", "2", "--store", "/images"])
    main(["chaos", "--vms", "1", "--runs", "2", "--seed", "7"])
    assert asked[0] == ("hosts", list(range(1, 101)))
    main(["chaos", "--virtual", "1", "--seed", "3"])
    assert asked[1] == ("real", [1, 2], Path("/images"))
    assert asked[2] == ("hosts", [7, 8]) and asked[3][:2] == ("real", [7])
    assert [one[:2] for one in asked[4:]] == [("virtual", [3])]


def test_a_broken_invariant_is_the_exit_status_and_stands_in_the_report(asked, tmp_path, capsys):
    out = tmp_path / "report"
    assert main(["chaos", "--runs", "3", "--vms", "1", "--out", str(out)]) == 1
    report = out.read_text()
    assert report == capsys.readouterr().out
    assert "every invariant held: no\n  seed 3: orphans\n" in report
    assert "every invariant held: yes" in report and "by 25.000% in the median" in report
    assert main(["chaos", "--runs", "2"]) == 0


def test_drivers_of_the_command_are_disturbed_where_it_is_asked_for(asked, monkeypatch, capsys):
    def noted(kind, result):
        def run(*arguments):
            asked.append((kind, *(one for one in arguments if one is not None)))
            return iter(result)

        return run

    monkeypatch.setattr(commanded, "commanded_campaigns", contextlib.nullcontext)
    monkeypatch.setattr(power_disk, "check_possible", lambda: asked.append("possible"))
    monkeypatch.setattr(power, "run_power_cuts", noted("cuts", [ChaosRun(1)]))
    monkeypatch.setattr(signals, "run_signals", noted("signals", [ChaosRun(5)]))
    broken = ChaosRun(9, broken=["it is empty"], label="killed before open")
    monkeypatch.setattr(crash_points, "run_crash_points", noted("points", [broken]))
    arguments = ["--power-cuts", "3", "--crash-points", "all", "--signals", "2", "--seed", "5"]
    assert main(["chaos", *arguments]) == 1
    assert asked == ["possible", ("cuts", 3, 5), ("points", sys.maxsize), ("signals", 2, 5)]
    assert "  killed before open: it is empty\n" in capsys.readouterr().out
    assert main(["chaos", "--crash-points", "7", "--runs", "1"]) == 1
    assert asked[4:] == [("hosts", [1]), ("points", 7)]
    assert main(["chaos", "--crash-points", "some"]) == USER_ERROR


def test_where_the_power_can_not_be_cut_it_is_said_before_anything_runs(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["chaos", "--power-cuts", "1"]) == USER_ERROR
    said = capsys.readouterr().err
    assert "the power can't be cut here: only root may mount a disk" in said
    assert "Run it as root on Linux" in said


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("runs=3", "Use --runs N."),
        ("vms=10", "Use --vms N."),
        ("seed=3", "Use --seed N."),
        ("store=x", "Use --store FOLDER."),
        ("out=x", "Use --out FILE."),
    ],
)
def test_an_option_that_is_spelt_like_a_setting_is_refused(word, instead, asked, capsys):
    assert main(["chaos", word]) == USER_ERROR
    assert instead in capsys.readouterr().err and asked == []


@pytest.mark.parametrize("text", ["0", "many", "1.5"])
def test_a_wrong_number_is_refused(text, asked, capsys):
    assert main(["chaos", "--runs", text]) == USER_ERROR
    assert f"--runs {text}: expected a whole number from 1" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "needs"), [("--runs 3", ".light"), ("--vms 3", "setup")])
def test_make_sets_up_what_the_campaigns_need(arguments, needs):
    """On simulated hosts no libvirt is needed."""
    command = ["make", "--print-data-base", "--question", "chaos", f"ARGS={arguments}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    (rule,) = (line for line in said.splitlines() if line.startswith("chaos:"))
    assert rule.split()[1].endswith(needs)
