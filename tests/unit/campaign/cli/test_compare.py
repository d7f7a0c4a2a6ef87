"""`hpc-campaign report compare` as its users meet it: on campaigns in simulation, in text,
JSON and HTML."""

import json

import pytest

from campaign import __main__ as surrounding
from campaign.config.compose import compose
from campaign.core.exits import USER_ERROR
from campaign.execution.run import run
from campaign.records.ledger import history_of
from tests.fakes.tracker import FakeTracker

LOAD = (
    "workload=lublin",
    "workload.jobs=40",
    "workload.load=1.2",
    "cluster.nodes=4",
    "search.trials=1",
)
CAMPAIGNS = {
    "fcfs": (*LOAD, "testbed.policy=fcfs"),
    "easy": (*LOAD, "testbed.policy=easy", "search.trials=2"),
    "demo": ("search.trials=1",),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with results of CAMPAIGNS: on the same jobs those that differ in policy alone, and
    one on others."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("campaign.execution.run.tracker_for", lambda *_: FakeTracker(folder / "told"))
        for name, overrides in CAMPAIGNS.items():
            own = (
                "testbed=simulation",
                f"output.results={folder}/r",
                "output.log=plain",
                f"name={name}",
            )
            assert run(compose([*own, *overrides])) == 0
    return folder / "r"


def report(results, *arguments):
    return surrounding.main(["report", *map(str, arguments), "--results", str(results)])


@pytest.fixture(scope="module")
def machine(results, tmp_path_factory):
    """What `--json` writes of fcfs:0 and easy:0."""
    file = tmp_path_factory.mktemp("written") / "compared.json"
    assert report(results, "compare", "fcfs:0", "easy:0", "--json", file) == 0
    return json.loads(file.read_text(encoding="utf-8"))


def test_two_policies_part_where_one_backfills(machine) -> None:
    """Under fcfs the first job in the queue starts; under EASY one that was submitted later and
    fits."""
    fcfs, easy = machine["divergence"]["starts"]
    assert fcfs["job"] != easy["job"] and easy["at_s"] < fcfs["at_s"]
    assert easy["width"] <= easy["free_slots"]
    ahead = {waiting["job"]: waiting["width"] for waiting in easy["waiting"]}
    assert ahead[fcfs["job"]] > easy["free_slots"]
    assert fcfs["elsewhere_s"] >= easy["at_s"] and easy["elsewhere_s"] > easy["at_s"]


def test_the_json_agrees_with_the_records(machine, results) -> None:
    records = [history_of(results / name / "ledger.jsonl").final()[0] for name in ("fcfs", "easy")]
    assert [arm["name"] for arm in machine["arms"]] == ["fcfs:0", "easy:0"]
    assert [arm["slots"] for arm in machine["arms"]] == [16, 16] and all(
        arm["simulated"] for arm in machine["arms"]
    )
    assert (
        next(iter(machine["metrics"])) == "awrt_s"
        and machine["metrics"]["awrt_s"]["objective"] == "minimize"
    )
    for name, metric in machine["metrics"].items():
        assert metric["values"] == [record.metrics.get(name) for record in records]
    assert len(machine["per_job"]) == machine["jobs"] == 40
    assert machine["split"]["response"]["mean_s"] == [
        pytest.approx(record.metrics["response_mean_s"]) for record in records
    ]
    assert machine["split"]["dispatch"]["total_s"] == [0, 0]
    assert machine["differing"]["simulated_policy"] == ["fcfs", "easy"]


def test_the_text_says_it_and_the_page_shows_it(results, machine, tmp_path, capsys) -> None:
    place = tmp_path / "compared.html"
    assert report(results, "compare", "fcfs:0", "easy:0", "--html", place, "--top", 2) == 0
    said = capsys.readouterr().out
    fcfs, easy = machine["divergence"]["starts"]
    for part in (
        "fcfs:0 against easy:0: the same 40 jobs, 40 of which ended in both",
        "fcfs:0 is a simulation",
        f"fcfs:0 starts job {fcfs['job']} ({fcfs['width']} wide) at {fcfs['at_s']:.2f} s",
        f"easy:0 starts job {easy['job']} ({easy['width']} wide) at {easy['at_s']:.2f} s",
        f"{easy['free_slots']} of 16 slots are free then",
        "easy:0: no start of the scheduler's own is known, so dispatch is 0",
        "jobs that were faster in easy:0: ",
    ):
        assert part in said
    gained = [job for job in machine["per_job"] if job["gained_s"] >= 0.005]
    shown = said.partition("faster in easy:0")[2].splitlines()
    assert [line.split()[0] for line in shown[2:4]] == [str(job["job"]) for job in gained[:2]]
    assert shown[4].split() == ["and", str(len(gained) - 2), "more"]
    page = place.read_text(encoding="utf-8")
    assert (
        "fcfs:0 against easy:0" in page
        and page.count('class="chart gantt"') == 2
        and "simulation</span>" in page
    )


def test_a_trial_beside_itself_and_a_number_alone(results, capsys) -> None:
    for arms in (("easy:0", "0"), ("0", "easy:0")):
        assert report(results, "compare", *arms) == 0
        said = capsys.readouterr().out
        assert "easy:0 against easy:0" in said and "none: the jobs start in the same order" in said
    assert report(results, "compare", "easy:1", "0") == 0
    assert "easy:1 against easy:0" in capsys.readouterr().out


def test_other_jobs_are_refused_with_what_is_unlike(results, capsys, tmp_path) -> None:
    assert (
        report(results, "compare", "fcfs:0", "demo:0", "--json", tmp_path / "none.json")
        == USER_ERROR
    )
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: fcfs:0 and demo:0 didn't replay the same jobs\n")
    assert "fcfs:0 replayed 40 jobs of lublin" in err and "Compare trials of one campaign" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "easy:0", "easy:9"], "easy:9: the campaign easy has no such trial"),
        (["compare", "easy:0", "easy"], "'easy' names no trial"),
        (["compare", "0", "1"], "0 and 1 name trials, but no campaign"),
        (["compare", "easy:0", "none:0"], "there is no campaign"),
        (["compare", "easy:0"], "neither a campaign nor a comparison"),
        (["easy", "--json", "x.json"], "report easy: --json and --html are for comparisons"),
        (
            ["compare", "easy:0", "easy:1", "--json", "/none/x.json"],
            "/none/x.json: No such file or directory",
        ),
        (["compare", "easy:0", "easy:1", "--html", "/"], "/: Is a directory"),
    ],
)
def test_what_cannot_be_done_is_said(results, capsys, arguments, said) -> None:
    assert report(results, *arguments) == USER_ERROR
    out, err = capsys.readouterr()
    assert out == "" and said in err


@pytest.mark.parametrize("top", ["-1", "many"])
def test_a_number_of_jobs_that_is_none_is_refused(results, top) -> None:
    assert report(results, "compare", "easy:0", "easy:1", "--top", top) == USER_ERROR
