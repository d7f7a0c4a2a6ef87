"""Trials that can't be compared are refused or kept apart; reports need the record alone."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from campaign import __main__ as surrounding
from campaign.config.compose import compose
from campaign.core.errors import LedgerError
from campaign.core.exits import USER_ERROR
from campaign.core.provenance import Provenance
from campaign.core.trials import Replicate
from campaign.execution.executor import Executor
from campaign.execution.same_campaign import check_same_campaign
from campaign.records.ledger import Ledger, history_of
from campaign.records.results import Results
from campaign.search import main
from search.pareto import front
from tests.fakes.testbed import FakeTestbed, evaluate
from tests.fakes.tracker import FakeTracker


def trace(jobs, run_s):
    """A trace of so many jobs, one a second, each of one processor."""
    rows = (
        f"{n} {n} -1 {run_s + n} 1 -1 -1 1 {run_s + n} -1 1 1 1 1 1 1 -1 -1" for n in range(jobs)
    )
    return "\n".join(rows) + "\n"


class Untracked:
    """Stands for the process that logs to MLflow, which takes seconds to start.

    `wanted` are the numbers of trials that it was told at the ends of campaigns.
    """

    wanted: ClassVar = []

    def __init__(self, tracker, results, history, wanted):
        self._wanted = wanted

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def _ignore(self, *_, **__):
        pass

    def finish(self, front):
        self.wanted.append(self._wanted())

    asked = started = running = finished = concluded = _ignore


@pytest.fixture
def stores():
    """The MLflow stores that were used, one after the other."""
    return []


@pytest.fixture
def place(tmp_path, monkeypatch, stores):
    """A folder to stand in, with a trace `t.swf`; MLflow's store is only noted."""

    def tracker_for(composed, *_):
        stores.append(composed.campaign.output.mlruns)
        return FakeTracker(tmp_path / "told")

    monkeypatch.setattr("campaign.execution.run.MlflowWorker", Untracked)
    for module in ("run", "report_again"):
        monkeypatch.setattr(f"campaign.execution.{module}.tracker_for", tracker_for)
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "t.swf").write_text(trace(20, 30))
    monkeypatch.chdir(folder)
    return folder


SETTINGS = (
    "testbed=simulation",
    "workload=swf",
    "workload.path=t.swf",
    "cluster.nodes=[2,4]",
    "output.log=plain",
    "name=a",
)


def search(trials, *more):
    return main([*SETTINGS, f"search.trials={trials}", *more])


def history(place):
    return history_of(place / "results/a/ledger.jsonl")


def page(place):
    return (place / "results/a/report.html").read_bytes()


def refusal(capsys, status):
    said = capsys.readouterr().err
    assert status == USER_ERROR, said
    return said


def test_a_changed_trace_is_refused_with_both_hashes(place, capsys):
    search(2)
    before = history(place).group.key["workload"]
    (place / "t.swf").write_text(trace(20, 40))
    said = refusal(capsys, search(4))
    now = compose_hash(place)
    assert f"the jobs that trials replay (hash): was {before}, is {now}" in said
    assert "another name=" in said and "--new-group" in said
    assert len(history(place).records) == 2


def compose_hash(place):
    from campaign.testbeds.preflight import workload_for

    composed = compose([*SETTINGS[:-1], f"workload.path={place}/t.swf"])
    return workload_for(composed.campaign, composed.schedulers, composed.space).hash


def test_the_same_command_in_another_folder_takes_no_other_trace(place, tmp_path, capsys):
    output = (f"output.results={place}/results", f"output.mlruns={place}/mlruns")
    search(2, *output)
    os.chdir(tmp_path)
    Path("t.swf").write_text(trace(20, 40))
    assert "the jobs that trials replay" in refusal(capsys, search(4, *output))


def test_a_trace_that_only_moved_is_the_same_one(place):
    search(2)
    (place / "t.swf").rename(place / "u.swf")
    assert search(3, "workload.path=u.swf") == 0
    assert len(history(place).records) == 3 and len(history(place).groups) == 1


def test_other_sources_are_refused(place, capsys, monkeypatch):
    search(2)
    monkeypatch.setattr("campaign.execution.start.source_digest", lambda: "0ther")
    said = refusal(capsys, search(4))
    assert re.search(r"this software \(hash of its sources\): was [0-9a-f]{16}, is 0ther", said)


def test_other_defaults_of_a_parameter_are_refused_by_name(place, capsys, monkeypatch):
    from campaign.tracking.of_campaign import parameters_of

    search(2)
    path, value = "scheduler.params.bf_resolution", 61
    assert str(parameters_of_now()[path]) != str(value)
    monkeypatch.setattr(
        "campaign.execution.run.parameters_of",
        lambda *known: {**parameters_of(*known), path: value},
    )
    said = refusal(capsys, search(4))
    assert f"{path}: was {parameters_of_now()[path]}, is {value}" in said


def parameters_of_now():
    from campaign.tracking.of_campaign import parameters_of

    composed = compose(SETTINGS)
    return parameters_of(composed.schedulers, composed.space)


def test_a_ledger_without_its_first_line_is_refused(place, capsys):
    search(2)
    ledger = place / "results/a/ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[1:]))
    assert "lines are missing" in refusal(capsys, search(4, "cluster.nodes=[2,8]"))
    assert "lines are missing" in refusal(capsys, surrounding.main(["report", "a"]))


def test_a_ledger_of_an_earlier_version_without_its_first_line_is_refused(place, capsys):
    search(1)
    as_earlier_versions_wrote(place)
    ledger = place / "results/a/ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[1:]))
    assert "head is missing" in refusal(capsys, search(4, "cluster.nodes=[2,8]"))
    assert "head is missing" in refusal(capsys, surrounding.main(["report", "a"]))


def test_a_second_first_line_is_refused(place, capsys):
    search(1)
    ledger = place / "results/a/ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join([*lines, lines[0]]))
    assert "is not a valid ledger event" in refusal(capsys, search(4))


def test_who_insists_gets_a_group_that_no_front_mixes_with_the_others(place, capsys):
    search(4)
    (place / "t.swf").write_text(trace(20, 3))
    assert search(7, "--new-group") == 0
    known = history(place)
    assert [record.group for record in known.final()] == [0] * 4 + [1] * 3
    assert len({record.provenance.workload_hash for record in known.comparable()}) == 1
    composed = compose(SETTINGS)
    objectives = composed.campaign.objectives
    mixed = front(known.final(), objectives, {})
    newest = front(known.comparable(), objectives, {})
    shown = capsys.readouterr().out
    assert f"Pareto front of a simulation: {len(newest)} of 3 valid trials" in shown
    assert "4 earlier trials can't be compared with these" in shown and mixed
    text = page(place).decode()
    assert text.count('id="earlier-groups"') == 1 and "(hash): was" in text
    # What follows belongs to the new group without insisting again; the old trace is refused.
    assert search(8) == 0 and [r.group for r in history(place).final()][-1] == 1
    (place / "t.swf").write_text(trace(20, 30))
    assert search(9) == USER_ERROR


def test_the_sampler_is_not_told_values_of_another_group(place, monkeypatch):
    search(3)
    (place / "t.swf").write_text(trace(20, 3))
    told = []
    from search.study import Study

    tell = Study.tell
    monkeypatch.setattr(
        Study,
        "tell",
        lambda self, number, *given, **named: (
            told.append(number),
            tell(self, number, *given, **named),
        ),
    )
    search(5, "--new-group")
    assert told == [3, 4]


def test_a_report_is_the_same_page_from_anywhere_without_the_trace(place, tmp_path, stores, capsys):
    search(3, "--config-name", "config")
    before = page(place)
    (place / "t.swf").unlink()
    os.chdir(tmp_path)
    assert surrounding.main(["report", "a", "--results", str(place / "results")]) == 0
    assert page(place) == before
    (place / "t.swf").write_text(trace(7, 9))
    os.chdir(place)
    assert surrounding.main(["report", "a"]) == 0
    assert page(place) == before
    said = capsys.readouterr()
    assert "python -m campaign.search testbed=simulation workload=swf" in said.err
    assert "--config-name config" in said.err
    assert set(stores) == {str(place / "mlruns")}
    assert not (tmp_path / "mlruns").exists()


def test_a_report_of_an_extended_campaign_is_the_same_page(place):
    search(2)
    search(4)
    before = page(place)
    assert b"search.trials=4" in before
    assert surrounding.main(["report", "a"]) == 0
    assert page(place) == before


def test_a_kept_workload_that_was_altered_is_refused(place, capsys):
    search(1)
    kept = place / "results/a/workload.parquet"
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    assert "its hash differs" in refusal(capsys, surrounding.main(["report", "a"]))
    kept.unlink()
    assert "can't be read" in refusal(capsys, surrounding.main(["report", "a"]))


def test_comparing_needs_no_trace(place, tmp_path):
    search(2)
    (place / "t.swf").unlink()
    os.chdir(tmp_path)
    arguments = ["report", "compare", "a:0", "1", "--results", str(place / "results")]
    assert surrounding.main(arguments) == 0


def as_earlier_versions_wrote(place):
    """Take from the ledger and the results what earlier versions did not keep."""
    ledger = place / "results/a/ledger.jsonl"
    events = [json.loads(line) for line in ledger.read_text().splitlines()]
    for name in ("key", "workload_sha256", "arguments", "folder"):
        events[0].pop(name)
    events[0]["config"]["workload"]["path"] = "t.swf"
    events[0]["config"]["output"] |= {"results": "results", "mlruns": "mlruns"}
    plain = ({k: v for k, v in event.items() if k not in ("n", "hash")} for event in events)
    ledger.write_text("".join(json.dumps(event) + "\n" for event in plain))
    (place / "results/a/workload.parquet").unlink()


def test_a_ledger_of_an_earlier_version_is_resumed_where_it_can_be_compared(place, capsys):
    search(2)
    as_earlier_versions_wrote(place)
    assert search(3) == 0
    assert "did not record all that shapes its trials" in capsys.readouterr().err
    assert [record.group for record in history(place).final()] == [0, 0, 0]


def test_a_ledger_of_an_earlier_version_is_refused_where_it_is_known_to_differ(
    place, capsys, monkeypatch
):
    search(2)
    as_earlier_versions_wrote(place)
    with monkeypatch.context() as patch:
        patch.setattr("campaign.execution.start.source_digest", lambda: "0ther")
        assert "is 0ther" in refusal(capsys, search(3))
    (place / "t.swf").write_text(trace(20, 3))
    assert "the jobs that trials replay" in refusal(capsys, search(3))
    assert search(3, "--new-group") == 0
    assert [record.group for record in history(place).final()] == [0, 0, 1]


def test_a_report_of_an_earlier_version_says_so_where_the_trace_is_gone(place, tmp_path, stores):
    search(2)
    as_earlier_versions_wrote(place)
    os.chdir(tmp_path)
    results = ["--results", str(place / "results")]
    assert surrounding.main(["report", "a", *results]) == 0
    text = page(place).decode()
    assert "kept no copy of the workload" in text
    assert f"--config-dir {place / 'results/a'} --config-name campaign" in text
    assert stores[-1] == str(place / "mlruns")


def accelerated(kinds):
    """A testbed whose attempts run under these kinds of acceleration, one after the other."""
    left = list(kinds)

    class Accelerated(FakeTestbed):
        def wait(self, timeout_s):
            trial = self._running.pop()
            made = evaluate(trial)
            return [(trial, replace(made, provenance=Provenance(acceleration=left.pop(0))))]

    return Accelerated()


def test_trials_under_another_acceleration_do_not_count(tmp_path):
    composed = compose(["search.trials=3", "search.retries=1"])
    results = Results(tmp_path, "a")
    with Ledger(results.ledger_path) as ledger:
        ledger.append(
            "campaign", id="a", name="a", config={}, images={}, key={}, workload_sha256=""
        )
        Executor(
            composed.campaign,
            composed.space,
            ledger=ledger,
            results=results,
            testbed=accelerated(["kvm", "tcg", "kvm", "kvm"]),
        ).run()
        records = ledger.history.records
        final = ledger.history.final()
    assert [record.provenance.acceleration for record in final] == ["kvm"] * 3
    first = records[Replicate(1)][0]
    assert first.outcome == "infrastructure_failed" and not first.valid
    assert first.reason.startswith("acceleration: tcg on local, but kvm in the trials before it")


def test_a_setting_that_an_earlier_version_lacked_changes_a_campaign_only_beside_its_default():
    now = compose([]).campaign
    before = now.model_dump(mode="json")
    del before["validity"]["max_cpu_taken"]
    ledger = SimpleNamespace(history=SimpleNamespace(head={"config": before}))
    check_same_campaign(now, ledger, Path("r"))
    other = compose(["validity.max_cpu_taken=0.4"]).campaign
    with pytest.raises(LedgerError) as refused:
        check_same_campaign(other, ledger, Path("r"))
    assert refused.value.details == "validity.max_cpu_taken: None -> 0.4"
