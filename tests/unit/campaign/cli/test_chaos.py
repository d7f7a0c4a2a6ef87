"""Fault injection's command: how many campaigns of which kind run; its status and report."""

import subprocess
from pathlib import Path

import pytest

from campaign.__main__ import main
from campaign.chaos import clusters, simulated
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

    def on_vms(seeds, store):
        done.append(("vms", list(seeds), store))
        return [ChaosRun(seed) for seed in seeds], 0.25

    monkeypatch.setattr(simulated, "run_seeds", on_hosts)
    monkeypatch.setattr(clusters, "run_seeds", on_vms)
    return done


def test_a_hundred_campaigns_on_simulated_hosts_run_unless_it_is_said_otherwise(asked):
    main(["chaos"])
    main(["chaos", "--vms", "2", "--store", "/images"])
    main(["chaos", "--vms", "1", "--runs", "2", "--seed", "7"])
    assert asked[0] == ("hosts", list(range(1, 101)))
    assert asked[1] == ("vms", [1, 2], Path("/images"))
    assert asked[2] == ("hosts", [7, 8]) and asked[3][:2] == ("vms", [7])


def test_a_broken_invariant_is_the_exit_status_and_stands_in_the_report(asked, tmp_path, capsys):
    out = tmp_path / "report"
    assert main(["chaos", "--runs", "3", "--vms", "1", "--out", str(out)]) == 1
    report = out.read_text()
    assert report == capsys.readouterr().out
    assert "every invariant held: no\n  seed 3: orphans\n" in report
    assert "every invariant held: yes" in report and "by 25.0% in the median" in report
    assert main(["chaos", "--runs", "2"]) == 0


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
