"""The flake: its lock is sound, its files say what they are for, and, where Nix is, it evaluates for every system."""

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CANNOT_RUN_HERE

ROOT = Path(__file__).parents[2]
NIX_FILES = [ROOT / "flake.nix", *sorted((ROOT / "nix").rglob("*.nix"))]
SYSTEMS = {"x86_64-linux", "aarch64-linux"}
TREE = "CAMPAIGN_TEST_NIXPKGS"

needs_nix = pytest.mark.skipif(
    shutil.which("nix-instantiate") is None, reason=f"{CANNOT_RUN_HERE}: put nix-instantiate on PATH (install Nix)"
)
needs_nixpkgs = pytest.mark.skipif(
    shutil.which("nix") is None or TREE not in os.environ,
    reason=f"{CANNOT_RUN_HERE}: install Nix 2.26 or later and set {TREE} to the folder of a nixpkgs tree",
)


@pytest.fixture(scope="module")
def lock():
    return json.loads((ROOT / "flake.lock").read_text())


@pytest.fixture
def flake(tmp_path):
    """A copy of the flake alone, because Nix would copy all that lies beside it."""
    shutil.copytree(ROOT / "nix", tmp_path / "nix")
    for name in ("flake.nix", "flake.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def nix(flake, *arguments):
    """What Nix prints, with the tree at hand in place of the locked one; nothing is built or fetched."""
    command = ["nix", "--extra-experimental-features", "nix-command flakes", *arguments]
    command += ["--override-input", "nixpkgs", f"path:{os.environ[TREE]}", "--no-write-lock-file"]
    command += ["--option", "allow-import-from-derivation", "false"]
    done = subprocess.run(command, cwd=flake, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_lock_has_the_inputs_of_the_flake_and_no_others(lock):
    declared = dict(re.findall(r'^  inputs\.(\w+)\.url = "(.+)";$', (ROOT / "flake.nix").read_text(), re.MULTILINE))
    assert declared
    assert lock["version"] == 7
    nodes, inputs = lock["nodes"], lock["nodes"][lock["root"]]["inputs"]
    originals = {name: nodes[node]["original"] for name, node in inputs.items()}
    assert {name: "{type}:{owner}/{repo}/{ref}".format(**one) for name, one in originals.items()} == declared
    assert set(nodes) == {lock["root"], *inputs.values()}


def test_every_locked_input_is_one_revision_with_the_hash_of_its_bytes(lock):
    for name, node in lock["nodes"].items():
        if name == lock["root"]:
            continue
        locked, original = node["locked"], node["original"]
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
    shells = json.loads(nix(flake, "eval", "--read-only", "--json", ".#devShells", "--apply", paths_of_shells))
    assert set(shells) == SYSTEMS
    assert all(path.endswith(".drv") for path in shells.values())


@needs_nixpkgs
@pytest.mark.timeout(900)
def test_nix_finds_nothing_wrong_with_the_flake(flake):
    nix(flake, "flake", "check", "--no-build", "--all-systems")
