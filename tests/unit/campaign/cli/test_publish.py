"""`publish`, then `verify` and `rerun` on what was published alone, in an empty folder."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from campaign.__main__ import main
from campaign.config.compose import compose
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation
from campaign.execution.publish import REQUIREMENTS
from campaign.execution.run import run
from campaign.publication.checksums import SUMS, files_in, sums_of, text_of
from campaign.publication.crate import METADATA
from campaign.records import dataset
from campaign.records.ledger import Ledger
from campaign.records.results import Results, sha256_of
from campaign.testbeds import NodeImages
from tests.fakes.tracker import FakeTracker

AUTHOR = "Ada Lovelace <0000-0002-1825-0097>"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("campaign.execution.run.tracker_for", lambda *_: FakeTracker(folder / "told"))
        settings = [
            "testbed=simulation",
            "workload.jobs=5",
            "workload.instances=2",
            "search.holdout=1",
            "search.trials=2",
            f"output.results={folder}/r",
            f"output.mlruns={folder}/m",
            "name=mine",
        ]
        run(compose(settings))
    return folder / "r"


@pytest.fixture(scope="module")
def published(finished, tmp_path_factory):
    """A crate, made once, to be copied."""
    target = tmp_path_factory.mktemp("published") / "crate"
    words = ["--results", str(finished), "--out", str(target)]
    assert main(["publish", "mine", *words, "--author", AUTHOR, "--license", "CC-BY-4.0"]) == 0
    return target


@pytest.fixture
def crate(published, tmp_path, monkeypatch):
    """The crate alone in an empty folder, which is the working directory."""
    alone = tmp_path / "alone"
    alone.mkdir()
    monkeypatch.chdir(alone)
    shutil.copytree(published, "crate")
    return Path("crate")


def test_what_was_published_is_verified_without_anything_else(crate, capsys):
    before = {name: (crate / name).stat().st_mtime_ns for name in files_in(crate)}
    assert main(["verify", "crate"]) == 0
    assert "are what its ledger and jobs give" in capsys.readouterr().out
    assert {name: (crate / name).stat().st_mtime_ns for name in files_in(crate)} == before
    assert [one.name for one in Path().iterdir()] == ["crate"]


def test_one_flipped_byte_is_found_in_every_file(crate, capsys):
    names = files_in(crate)
    assert {SUMS, METADATA, "ledger.jsonl", "report.html", "CITATION.cff"} < set(names)
    for name in names:
        path = crate / name
        content = path.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1}:
            flipped = bytearray(content)
            flipped[place] ^= 0x20
            path.write_bytes(flipped)
            assert main(["verify", "crate"]) == 2, (name, place)
        path.write_bytes(content)
    assert main(["verify", "crate"]) == 0
    capsys.readouterr()


def test_a_file_more_or_less_is_found(crate, capsys):
    (crate / "notes.txt").write_text("not published")
    (crate / "campaign.yaml").unlink()
    assert main(["verify", "crate", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)["damaged"]
    assert [Path(one["path"]).name for one in found] == ["campaign.yaml", "notes.txt"]


@pytest.mark.parametrize("name", ["front.json", "report.html"])
def test_a_figure_that_ledger_and_jobs_dont_give_is_found_under_right_checksums(
    crate, capsys, name
):
    path = crate / name
    if name == "front.json":
        figure = re.compile(r"\d+\.\d+")
        altered = figure.sub(lambda found: f"{2 * float(found[0]) + 1}", path.read_text(), count=1)
    else:
        altered = path.read_text().replace("</html>", " </html>")
    assert altered != path.read_text()
    path.write_text(altered)
    (crate / SUMS).write_text(text_of(sums_of(crate)))
    assert main(["verify", "crate"]) == 2
    assert f"{name}: ledger and jobs give another" in capsys.readouterr().out


def test_metadata_names_every_file_with_its_checksum(crate):
    graph = json.loads((crate / METADATA).read_text())["@graph"]
    files = {one["@id"]: one for one in graph if one["@type"] == "File"}
    assert sorted(files) == [name for name in files_in(crate) if name not in (SUMS, METADATA)]
    assert all(one["sha256"] == sha256_of(crate / name) for name, one in files.items())


def test_programs_whose_versions_are_told_come_with_ours():
    root = Path(__file__).parents[4]
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=\[]", one)[0] for one in declared}
    assert set(REQUIREMENTS) <= names


def test_it_says_how_it_is_cited(crate):
    cited = yaml.safe_load((crate / "CITATION.cff").read_text())
    assert cited["authors"] == [
        {"name": "Ada Lovelace", "orcid": "https://orcid.org/0000-0002-1825-0097"}
    ]
    assert cited["license"] == "CC-BY-4.0"
    assert cited["type"] == "dataset"


def test_run_again_in_simulation_nothing_differs(crate, capsys):
    assert main(["rerun", "crate"]) == 0
    out = capsys.readouterr().out
    assert "nothing differs" in out
    assert "trial 1, instance 1: the same (ok)" in out


class Minded:
    """A testbed that gives a trial up where nobody asks how it does, as that of machines does."""

    def __init__(self):
        self.running = []
        self.asked = True
        self.waits = 0

    def room(self):
        return 1 - len(self.running)

    def start(self, trial):
        self.running.append(trial)

    def wait(self, timeout_s):
        assert self.asked, "nobody has asked how the trials do"
        self.asked = False
        self.waits += 1
        if self.waits % 3:
            return []
        return [(self.running.pop(), Evaluation("infrastructure_failed", reason="a power cut"))]

    def statuses(self):
        self.asked = True
        return {one.number: Status(Phase.WORKLOAD, 0.0) for one in self.running}


class MindedBackend:
    def prepare(self, begun_with):
        return NodeImages()

    def check(self):
        pass

    def open(self, stack, workloads, logs=None):
        return Minded()


def test_trials_that_run_elsewhere_are_minded_and_their_end_is_compared(crate, monkeypatch, capsys):
    monkeypatch.setattr("campaign.execution.rerun.backend_for", lambda *_: MindedBackend())
    assert main(["rerun", "crate", "--trials", "0"]) == 5
    told = capsys.readouterr()
    assert "trial 0, instance 1: was ok, is infrastructure_failed (a power cut)" in told.out
    assert "trial 0 replaying the workload" in told.err


def altered(root, name="mine"):
    """Make the ledger say that trial 1 had another value, as whoever knows how to seal lines
    could."""
    results = Results(root, name)
    with Ledger(results.ledger_path) as ledger:
        record = ledger.history.records[1, 0][-1]
        value = record.metrics["awrt_s"] + 1
        wrong = record.model_copy(
            update={"metrics": {**record.metrics, "awrt_s": value}, "attempt": 2}
        )
        ledger.append("started", trial=1, attempt=2)
        jobs = results.trial_jobs(1)
        dataset.write(results.jobs_folder, name, wrong, jobs, ledger.history.identity)
        ledger.append(
            "finished",
            trial=1,
            record=wrong.model_dump(mode="json"),
            jobs_sha256=sha256_of(dataset.path_of(results.jobs_folder, wrong.replicate)),
        )
    return value


def test_a_value_that_the_jobs_dont_give_is_found_by_verify_and_rerun(finished, tmp_path, capsys):
    root = shutil.copytree(finished, tmp_path / "r")
    altered(root)
    assert main(["verify", "mine", "--results", str(root)]) == 2
    assert "its jobs give other figures: awrt_s was" in capsys.readouterr().out
    assert main(["rerun", "mine", "--results", str(root), "--trials", "1", "--json"]) == 5
    found = json.loads(capsys.readouterr().out)
    assert found["different"] == 1
    assert list(found["replicates"][0]["metrics"]) == ["awrt_s"]


def test_what_is_damaged_is_not_published(finished, tmp_path, capsys):
    root = shutil.copytree(finished, tmp_path / "r")
    (root / "mine" / "workload.parquet").write_bytes(b"")
    words = ["publish", "mine", "--results", str(root), "--out", str(tmp_path / "crate")]
    assert main(words) == 2
    assert "can't be published" in capsys.readouterr().err
    assert not (tmp_path / "crate").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--author", "Ada <not an ORCID>"],
        ["--license", "no licence/of this kind"],
        ["--doi", "zenodo"],
        ["--out", "taken"],
    ],
)
def test_what_cant_be_meant_is_refused(finished, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    Path("taken/file").touch()
    assert main(["publish", "mine", "--results", str(finished), *words]) == 2
    assert words[1].split()[0] in capsys.readouterr().err
    assert not Path("mine-crate").exists()


def test_the_reports_figures_and_tables_are_exported_as_files(
    finished, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    words = ["mine", "--results", str(finished)]
    assert main(["export", "tables", *words]) == 0
    assert main(["export", "figures", *words, "--width", "page"]) == 0
    written = capsys.readouterr().out.split()
    assert {"mine-tables/front.csv", "mine-tables/trials.tex", "mine-figures/front.pdf"} <= {
        *written
    }
    assert all((tmp_path / file).stat().st_size for file in written)
    assert main(["export", "tables", *words]) == 2
    assert "mine-tables exists" in capsys.readouterr().err
    assert main(["export", "figures", "mine:3", "--against", "slurm.conf"]) == 2
    assert "it takes a campaign, and nothing else" in capsys.readouterr().err
