"""The wheel, and an environment in which it alone is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("actors", "campaign", "schedulers", "search")
FROM_SOURCE = "antlr4-python3-runtime"
"""Of all dependencies, only this one has no wheel. It is plain Python, and needs no compiler."""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of the sources, built from a copy, so that nothing is left beside them."""
    copy = tmp_path_factory.mktemp("sources")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy / name)
    place = tmp_path_factory.mktemp("wheel")
    _first_that_works(
        [_uv(), "build", "--quiet", "--wheel", "--out-dir", place, copy],
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place, copy],
    )
    (found,) = place.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """The folder of the programs of a fresh environment that holds the wheel without extras.

    Neither a compiler nor pkg-config, by which libvirt's headers are found, can be run meanwhile.
    """
    place = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    programs = place / "bin"
    pins = place / "pins.txt"
    pins.write_text("\n".join(pinned(ROOT / "requirements-light.lock")))
    options = ["--quiet", "--only-binary", ":all:", "--no-binary", FROM_SOURCE, "--constraint"]
    without = {"PATH": str(programs), "CC": "/bin/false", "CXX": "/bin/false"}
    _first_that_works(
        [_uv(), "pip", "install", *options, pins, wheel],
        [programs / "python", "-m", "pip", "install", *options, pins, wheel],
        environment={**os.environ, **without, "VIRTUAL_ENV": str(place)},
    )
    return programs


def pinned(lock):
    """The requirements of a lock file without their hashes."""
    lines = lock.read_text().splitlines()
    return [line.removesuffix(" \\") for line in lines if line and not line.startswith((" ", "#"))]


def _uv():
    return Path(sys.executable).parent / "uv"


def _first_that_works(*commands, environment=None):
    """Run the commands until one succeeds: uv is fast, pip knows more configuration."""
    for command in commands:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        if done.returncode == 0:
            return
    pytest.fail(f"{command}: {done.stdout}{done.stderr}")
