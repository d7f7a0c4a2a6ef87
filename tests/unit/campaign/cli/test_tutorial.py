"""The tutorial's commands, in order, from an empty folder: each says what the page quotes of it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
TUTORIAL = (ROOT / "docs/tutorial.md").read_text()


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the page, and the lines that the page quotes of what it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def flat(text: str) -> str:
    """The text on one line: where a terminal folds it doesn't matter."""
    return " ".join(text.split())


def run(command: str, folder: Path) -> str:
    """What a command prints; it must end well."""
    program, *arguments = shlex.split(command)
    assert program == "hpc-campaign"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-m", "campaign", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.xdist_group("levers")
@pytest.mark.timeout(1200)
def test_its_commands_print_what_it_quotes(tmp_path):
    for command, quoted in steps():
        printed = flat(run(command, tmp_path))
        for line in quoted:
            assert flat(line) in printed, command
    patch = (tmp_path / "heron.patch").read_text()
    (diff,) = re.findall(r"^```diff\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)
    assert set(diff.splitlines()) <= set(patch.splitlines())


def test_the_example_is_never_written_over_files_that_are_there(tmp_path):
    (tmp_path / "slurm.conf").write_text("mine")
    command = [sys.executable, "-m", "campaign", "init"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, [path.name for path in tmp_path.iterdir()]) == (2, ["slurm.conf"])
    assert "slurm.conf is there already" in done.stderr
