"""`hpc-campaign list`: which campaigns there are, how far each is, and its best values."""

import json

import pytest

from campaign import __main__ as entry
from campaign.config.compose import compose
from campaign.records.campaigns import names_in, summaries, summary
from campaign.records.ledger import Ledger
from campaign.records.results import Results


def begun(root, name, *trials, overrides=()):
    """A campaign of three trials, with (outcome, AWRT, node hours) for each that is judged."""
    given = [f"name={name}", "search.trials=3", "search.retries=0", *overrides]
    campaign = compose(given, used_elsewhere=["search.retries"]).campaign
    with Ledger(Results(root, name).ledger_path) as ledger:
        ledger.append("campaign", id=name, name=name, config=campaign.model_dump(mode="json"))
        for number, (outcome, awrt, hours) in enumerate(trials):
            values = {"awrt_s": awrt, "node_hours": hours} if outcome == "ok" else {}
            record = {"number": number, "point": {"cluster.nodes": number + 1}, "attempt": 1}
            ledger.append("asked", trial=number, point=record["point"], attrs={})
            ledger.append("started", trial=number, attempt=1)
            ledger.append(
                "finished", trial=number, record={**record, "outcome": outcome, "metrics": values}
            )
    return Results(root, name).ledger_path


def only(root):
    (found,) = summaries(root)
    return found


@pytest.mark.parametrize(
    ("trials", "state", "done"),
    [
        ([], "interrupted", 0),
        ([("ok", 5.0, 1.0), ("invalid", 0, 0)], "interrupted", 2),
        ([("ok", 5.0, 1.0), ("scheduler_failed", 0, 0), ("invalid", 0, 0)], "finished", 3),
        ([("invalid", 0, 0), ("stalled", 0, 0), ("scheduler_failed", 0, 0)], "failed", 3),
        # The platform's failures are tried again by whoever starts the campaign once more.
        ([("ok", 5.0, 1.0), ("ok", 4.0, 1.0), ("infrastructure_failed", 0, 0)], "interrupted", 2),
    ],
)
def test_the_state_follows_from_what_is_settled(tmp_path, trials, state, done):
    begun(tmp_path, "mine", *trials)
    found = only(tmp_path)
    assert (found.name, found.state, found.done, found.trials) == ("mine", state, done, 3)


def test_a_search_that_has_no_points_left_is_finished(tmp_path, capsys):
    space = ["testbed=simulation", "cluster.nodes={choices: [1, 2]}"]
    fixed = {"SchedulerType": "sched/backfill", "bf_interval": 30, "sched_interval": 60}
    space += [f"scheduler.params.{name}={value}" for name, value in fixed.items()]
    begun(tmp_path, "whole", *[("ok", 5.0, 1.0)] * 2, overrides=space)
    begun(tmp_path, "half", ("ok", 5.0, 1.0), overrides=space)
    assert entry.main(["list", "--results", str(tmp_path)]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    states = {line.split()[0]: line.split()[1:3] for line in lines}
    assert states == {"whole": ["finished", "2/2"], "half": ["interrupted", "1/2"]}


def test_a_campaign_whose_ledger_is_held_runs(tmp_path):
    with Ledger(begun(tmp_path, "mine", ("ok", 1.0, 1.0))):
        assert only(tmp_path).state == "running"
    assert only(tmp_path).state == "interrupted"


def test_best_values_are_those_of_valid_trials_within_the_constraints(tmp_path):
    trials = [("ok", 9.0, 1.0), ("ok", 2.0, 8.0), ("ok", 3.0, 4.0)]
    begun(tmp_path, "free", *trials)
    begun(tmp_path, "bound", *trials, overrides=["search.constraints.node_hours.max=5"])
    found = {one.name: one for one in summaries(tmp_path)}
    best = {
        name: {k: (b.value, b.trial) for k, b in one.best.items()} for name, one in found.items()
    }
    assert best["free"] == {"awrt_s": (2.0, 1), "node_hours": (1.0, 0)}
    assert best["bound"] == {"awrt_s": (3.0, 2), "node_hours": (1.0, 0)}


def test_an_objective_to_maximize_has_its_largest_value(tmp_path):
    objectives = "objectives={awrt_s: minimize, node_hours: maximize}"
    begun(tmp_path, "mine", ("ok", 1.0, 1.0), ("ok", 2.0, 8.0), overrides=[objectives])
    assert only(tmp_path).best["node_hours"].value == 8.0


def test_a_ledger_that_cannot_be_read_hides_no_other_campaign(tmp_path, capsys):
    begun(tmp_path, "sound", ("ok", 1.0, 1.0))
    broken = begun(tmp_path, "broken")
    broken.write_text("nonsense\n")
    (tmp_path / "no-campaign").mkdir()
    assert names_in(tmp_path) == ["broken", "sound"]
    assert summary("broken", broken).state == "unreadable"
    assert entry.main(["list", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "line 1 is not a valid ledger event" in said and "awrt_s 1" in said


def test_the_table_has_a_line_per_campaign_the_latest_first(tmp_path, capsys):
    import os

    for at, name in enumerate(("old", "new")):
        ledger = begun(tmp_path, name, ("ok", 1.5, 2.0), overrides=["testbed=simulation"])
        os.utime(ledger, (at, at))
    assert entry.main(["list", "--results", str(tmp_path)]) == 0
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split()[:4] == ["name", "state", "trials", "testbed"]
    assert [line.split()[:5] for line in lines] == [
        ["new", "interrupted", "1/3", "simulation", "slurm"],
        ["old", "interrupted", "1/3", "simulation", "slurm"],
    ]
    assert all(line.endswith("awrt_s 1.5, node_hours 2") for line in lines)


def test_a_narrow_terminal_has_a_line_for_each_value(tmp_path, capsys, monkeypatch):
    for name in ("one", "two"):
        begun(tmp_path, name, ("ok", 1.5, 2.0), overrides=["testbed=simulation"])
    for columns, lines in ((60, 2 * 7 + 1), (200, 3)):
        monkeypatch.setattr("campaign.cli.list.terminal_columns", lambda columns=columns: columns)
        assert entry.main(["list", "--results", str(tmp_path)]) == 0
        said = capsys.readouterr().out.splitlines()
        assert len(said) == lines and max(map(len, said)) <= columns
        if columns == 60:
            assert said[-1] == "best values  awrt_s 1.5, node_hours 2"


def test_the_same_as_json(tmp_path, capsys):
    begun(tmp_path, "mine", ("ok", 1.5, 2.0))
    assert entry.main(["list", "--json", "--results", str(tmp_path)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["state"], found["done"], found["trials"]) == (
        "mine",
        "interrupted",
        1,
        3,
    )
    assert found["best"]["awrt_s"] == {"direction": "minimize", "value": 1.5, "trial": 0}
    assert found["begun"].endswith("+00:00")


def test_an_empty_folder_says_how_to_begin(tmp_path, capsys):
    assert entry.main(["list", "--results", str(tmp_path)]) == 0
    assert "`hpc-campaign search` begins one" in capsys.readouterr().out
