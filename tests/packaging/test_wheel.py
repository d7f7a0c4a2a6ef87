"""The wheel: it is whole, and without extras, compiler and libvirt it runs a simulation."""

import json
import re
import subprocess
import zipfile
from email.parser import Parser

import pytest
from packaging.requirements import Requirement

from campaign.core.version import source_digest
from tests.packaging.conftest import PACKAGES, ROOT, pinned

DATA = (".py", ".yaml", ".j2", ".toml", ".json", ".typed", ".sh", ".service", ".target", ".conf")
EXTRAS = {"libvirt": "vm", "ray": "vm", "flask": "ui", "pandas": None}
"""Modules that must not come without an extra, and the extra whose name a user is told."""


def test_it_holds_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    files = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert [name for name in files if name not in held] == []
    for kind in ("py.typed", ".yaml", ".j2", "/guest/init", "/guest/run-job", "specs/slurm.toml"):
        assert any(name.endswith(kind) for name in held), kind
    assert {f"{package}/py.typed" for package in PACKAGES} <= held


def test_it_says_whose_it_is_and_what_it_may_be_used_for(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        said = Parser().parsestr(archive.read(name).decode())
        licences = [one for one in archive.namelist() if "/licenses/" in one]
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Author"] == "the hpc-campaign authors"
    assert {one.rpartition("/")[2] for one in licences} == {"LICENSE", "NOTICE"}


def test_what_is_required_is_a_range_and_what_is_locked_is_exact(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        said = Parser().parsestr(archive.read(name).decode())
    required = [Requirement(text) for text in said.get_all("Requires-Dist")]
    assert [str(one) for one in required if "==" in str(one.specifier)] == []
    locked = {
        name: pinned(ROOT / name) for name in ("requirements.lock", "requirements-light.lock")
    }
    for name, pins in locked.items():
        assert pins and all("==" in pin for pin in pins), name
    # The small lock is a part of the whole one, so that one environment can become the other.
    light, whole = (
        {pin.partition(" ;")[0] for pin in locked[name]}
        for name in ("requirements-light.lock", "requirements.lock")
    )
    assert light <= whole
    names = {Requirement(pin).name for pin in locked["requirements-light.lock"]}
    assert {one.name for one in required if one.marker is None} <= names
    assert not names & {"ray", "libvirt-python"}


def test_what_builds_is_locked_too_and_nothing_else_builds():
    for name in ("requirements.lock", "requirements-light.lock"):
        assert re.search(r"^setuptools==\S+ \\\n +--hash=sha256:", (ROOT / name).read_text(), re.M)
    makefile = (ROOT / "Makefile").read_text()
    setup = makefile.partition("define install")[2].partition("endef")[0]
    (kinds,) = re.findall(r"for what in (.*); do", setup)
    assert all("--no-build-isolation" in kind for kind in re.findall(r'"([^"]+)"', kinds))
    # Before anything is built.
    assert setup.index("setuptools") < setup.index("--no-build-isolation")


def test_the_version_is_the_same_everywhere(wheel):
    version = wheel.name.split("-")[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_lock_names_an_index():
    for name in ("requirements.lock", "requirements-light.lock"):
        assert "://" not in (ROOT / name).read_text()


@pytest.mark.timeout(900)
def test_without_extras_and_compiler_it_runs_a_simulation_from_an_empty_folder(installed, tmp_path):
    done = campaign(installed, tmp_path, "search", "testbed=simulation", "search.trials=5")
    assert done.returncode == 0, done.stderr
    assert "Pareto front of a simulation" in done.stdout
    assert (tmp_path / "results/demo-simulation/report.html").is_file()
    assert "is not up to date" not in done.stdout + done.stderr
    assert (tmp_path / "mlruns/mlflow.db").is_file()
    records = [
        event["record"]
        for line in (tmp_path / "results/demo-simulation/ledger.jsonl").read_text().splitlines()
        if (event := json.loads(line))["event"] == "finished"
    ]
    assert sum(record["instance"] == 0 for record in records) == 5
    said_version = campaign(installed, tmp_path, "--version").stdout.split()[1]
    for record in records:
        assert record["outcome"] == "ok"
        assert record["provenance"]["software_version"] == said_version
        assert record["provenance"]["source_digest"] == source_digest()
    listed = json.loads(campaign(installed, tmp_path, "list", "--json").stdout)
    assert [(one["name"], one["state"], one["done"]) for one in listed] == [
        ("demo-simulation", "finished", 5)
    ]


def test_what_an_extra_brings_is_not_there(installed):
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    for module in EXTRAS:
        done = subprocess.run([installed / "python", "-c", code, module], check=False)
        assert done.returncode == 1, module


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["search"], "vm"),
        (["clean"], "vm"),
        (["golden", "list"], "vm"),
        (["host", "join", "b"], None),
        (["export", "ansible", "--out", "site", "cluster.nodes=3"], None),
        (["ui", "--mlruns", "mlruns"], "ui"),
    ],
)
def test_a_command_that_needs_an_extra_names_it(installed, tmp_path, arguments, extra):
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").touch()
    done = campaign(installed, tmp_path, *arguments)
    if extra is None:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 2
    assert f"pip install 'hpc-campaign[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results/demo-simulation/report.html").exists()


def campaign(installed, folder, *arguments):
    """Run the command in `folder`, as a user who has nothing else on PATH."""
    environment = {"HOME": str(folder), "PATH": str(installed)}
    return subprocess.run(
        [installed / "hpc-campaign", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
