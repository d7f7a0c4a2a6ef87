"""The flake: its lock is sound, its files say what they are for, and, where Nix and a nixpkgs tree
are, it evaluates: for every system, to the recipes that are written down, of images that keep the
contract of those that boot here.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from campaign.images.contract import Guest, violations
from campaign.images.debian import builder
from schedulers.facts import ImageFacts
from schedulers.registry import adapter, names
from schedulers.requirements import requirements_of
from schedulers.samples import topology
from tests.adapters import images_of
from tests.conftest import CANNOT_RUN_HERE

ROOT = Path(__file__).parents[3]
NIX_FILES = [ROOT / "flake.nix", *sorted((ROOT / "nix").rglob("*.nix"))]
SYSTEMS = {"x86_64-linux", "aarch64-linux"}
TREE = "CAMPAIGN_TEST_NIXPKGS"
LISTED = re.compile(r"^ +\.\./(\S+)$", re.MULTILINE)
"""The files, one a line, that nix/images.nix takes from the project."""

needs_nix = pytest.mark.skipif(
    shutil.which("nix-instantiate") is None,
    reason=f"{CANNOT_RUN_HERE}: put nix-instantiate on PATH (install Nix)",
)
needs_nixpkgs = pytest.mark.skipif(
    shutil.which("nix") is None or TREE not in os.environ,
    reason=f"{CANNOT_RUN_HERE}: install Nix 2.18 or later and set {TREE} to a folder with the "
    "locked nixpkgs",
)


@pytest.fixture(scope="module")
def lock():
    return json.loads((ROOT / "flake.lock").read_text())


@pytest.fixture
def flake(tmp_path):
    """A copy of the flake and what it reads, because Nix would copy all that lies beside it."""
    for folder in ("nix", "campaign/images"):  # nix/images.nix reads the latter
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in {"flake.nix", "flake.lock", *LISTED.findall((ROOT / "nix/images.nix").read_text())}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def nix(flake, *arguments):
    """What Nix prints, with the tree at hand in place of the locked one; nothing is built or
    fetched.

    The tree is said to be of the locked revision: that is in the version of each system, and so in
    its hash.
    """
    locked = json.loads((flake / "flake.lock").read_text())["nodes"]["nixpkgs"]["locked"]
    tree = f"path:{os.environ[TREE]}?rev={locked['rev']}&lastModified={locked['lastModified']}"
    command = ["nix", "--extra-experimental-features", "nix-command flakes", *arguments]
    command += ["--override-input", "nixpkgs", tree, "--no-write-lock-file"]
    command += ["--option", "allow-import-from-derivation", "false"]
    done = subprocess.run(command, cwd=flake, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_lock_has_the_inputs_of_the_flake_and_no_others(lock):
    declared = dict(
        re.findall(
            r'^  inputs\.(\w+)\.url = "(.+)";$', (ROOT / "flake.nix").read_text(), re.MULTILINE
        )
    )
    assert declared
    assert lock["version"] == 7
    nodes = lock["nodes"]
    inputs = lock["nodes"][lock["root"]]["inputs"]
    originals = {name: nodes[node]["original"] for name, node in inputs.items()}
    assert {
        name: "{type}:{owner}/{repo}/{ref}".format(**one) for name, one in originals.items()
    } == declared
    assert set(nodes) == {lock["root"], *inputs.values()}


def test_every_locked_input_is_one_revision_with_the_hash_of_its_bytes(lock):
    for name, node in lock["nodes"].items():
        if name == lock["root"]:
            continue
        locked = node["locked"]
        original = node["original"]
        assert {key: locked[key] for key in ("type", "owner", "repo")} == {
            key: original[key] for key in ("type", "owner", "repo")
        }
        assert re.fullmatch(r"[0-9a-f]{40}", locked["rev"])
        assert isinstance(locked["lastModified"], int)
        algorithm, _, digest = locked["narHash"].partition("-")
        assert algorithm == "sha256"
        assert len(base64.b64decode(digest, validate=True)) == 32


@pytest.mark.parametrize("file", NIX_FILES, ids=lambda file: file.name)
def test_a_nix_file_opens_with_what_it_is_for(file):
    assert re.match(r"# [A-Z].{20,}\.\n", file.read_text())


@pytest.mark.parametrize("name", names())
def test_the_plan_of_a_cluster_check_is_the_adapters_own(name):
    """A NixOS test carries it out; what it has for data is the plan, file by file."""
    scheduler = adapter(name)
    cluster = topology(2)
    facts = builder.spec(scheduler.image).facts | {"unit.munge": "munged.service"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "nix/tests/plan.py"), name, json.dumps(facts)],
        input=json.dumps([asdict(node) for node in cluster.nodes]),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    bound = scheduler.for_image(ImageFacts(scheduler.image, facts))
    plan = bound.plan(cluster, scheduler.Params(), scheduler.make_secrets())
    assert found["head"] == "head" and found["smoke_test"][2:] == list(
        bound.smoke_test_command(cluster)
    )
    assert [set(stage) for stage in found["stages"]] == [set(stage.steps) for stage in plan.stages]
    for stage, expected in zip(found["stages"], plan.stages, strict=True):
        for node, step in expected.steps.items():
            assert [file["path"] for file in stage[node]["files"]] == [
                file.path for file in step.files
            ]
            assert stage[node]["commands"] == [list(command) for command in step.commands]
            assert stage[node]["units"] == [unit.name for unit in step.units]
            assert [probe["expect"] for probe in stage[node]["probes"]] == [
                probe.expect for probe in step.probes
            ]


@pytest.mark.parametrize("file", NIX_FILES, ids=lambda file: file.name)
def test_what_a_nix_file_names_of_the_project_is_there(file):
    named = re.findall(r"(?<![\w.\"])\.\.?/[\w./-]+", file.read_text())
    assert [path for path in named if not (file.parent / path).exists()] == []


@needs_nix
@pytest.mark.parametrize("file", NIX_FILES, ids=lambda file: file.name)
def test_a_nix_file_parses(file, tmp_path):
    command = ["nix-instantiate", "--parse", "--store", f"local?root={tmp_path}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_nixpkgs
@pytest.mark.timeout(900)
def test_the_shell_evaluates_for_every_system(flake):
    paths_of_shells = "builtins.mapAttrs (_: shells: shells.default.drvPath)"
    shells = json.loads(
        nix(flake, "eval", "--read-only", "--json", ".#devShells", "--apply", paths_of_shells)
    )
    assert set(shells) == SYSTEMS
    assert all(path.endswith(".drv") for path in shells.values())


WRITTEN = json.loads((ROOT / "nix/manifest.json").read_text())
"""The output path of each package, by its attribute."""


def recipes(flake):
    """The same, evaluated."""
    return json.loads(nix(flake, "eval", "--read-only", "--json", ".#lib.recipes"))


@needs_nixpkgs
@pytest.mark.timeout(900)
def test_the_recipes_are_those_that_are_written_down(flake):
    assert recipes(flake) == WRITTEN


def test_the_written_recipes_are_of_the_four_images_on_every_system():
    images = {
        f"packages.{system}.image-{name}"
        for system in SYSTEMS
        for name in ("slurm", "slurm-accounting", "flux", "volcano")
    }
    assert images <= set(WRITTEN)
    assert all(re.fullmatch(r"/nix/store/[0-9a-z]{32}-\S+", path) for path in WRITTEN.values())
    assert len({path for name, path in WRITTEN.items() if ".image-" in name}) == len(
        images
    )  # one goes by two names


@needs_nixpkgs
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("module", "old", "new", "changed"),
    [
        (
            "slurm.nix",
            'TasksMax = "infinity"',
            "TasksMax = 4096",
            {"slurm", "slurm-accounting"},
        ),
        ("accounting.nix", "LimitNOFILE = 65536", "LimitNOFILE = 4096", {"slurm-accounting"}),
        ("flux.nix", 'home = "/var/lib/flux"', 'home = "/var/empty"', {"flux"}),
        (
            "volcano.nix",
            '"/share/volcano"',
            '"/share/volcano" "/share/doc"',
            {"volcano", "kubernetes"},
        ),
        (
            "node.nix",
            "rateLimitBurst = 0",
            "rateLimitBurst = 1",
            {"slurm", "slurm-accounting", "flux", "volcano", "kubernetes"},
        ),
    ],
)
def test_an_option_changes_the_recipes_of_the_images_that_have_it(flake, module, old, new, changed):
    path = flake / "nix/modules" / module
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    found = recipes(flake)
    expected = {f"packages.{system}.image-{name}" for system in SYSTEMS for name in changed}
    assert {name for name in found if found[name] != WRITTEN[name]} == expected


@needs_nixpkgs
@pytest.mark.timeout(900)
def test_evaluated_images_keep_the_contract_of_those_that_boot(flake):
    """The same checks as of the Debian bundles, in tests/system/test_image_contract.py."""
    found = json.loads(nix(flake, "eval", "--read-only", "--json", ".#lib.guests"))
    assert set(found) == SYSTEMS
    for guests in found.values():
        by_image = {"kubernetes": guests["volcano"], **guests}
        for name in names():
            for image in images_of(adapter(name)):
                guest = Guest.of_evaluation(by_image[image])
                bound = adapter(name).for_image(ImageFacts(image, guest.facts))
                found_wrong = list(violations(image, guest, requirements_of(bound)))
                assert found_wrong == [], (name, image)


@needs_nixpkgs
@pytest.mark.timeout(900)
def test_nix_finds_nothing_wrong_with_the_flake(flake):
    nix(flake, "flake", "check", "--no-build", "--all-systems")
