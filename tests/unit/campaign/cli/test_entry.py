"""`hpc-campaign` as a user meets it first: help, version, completion, and what is not installed."""

import contextlib
import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from campaign import __main__ as entry
from campaign.cli import completion
from campaign.cli.failures import guarded
from campaign.cli.parser import build, command_of
from campaign.core import optional
from campaign.core.errors import ConfigError
from campaign.core.version import git_commit, source_digest

FRONT_DOOR = {f"campaign.cli.{name}" for name in ("arguments", "commands", "failures", "parser")}
SLOW = {
    *("asyncssh", "hydra", "libvirt", "mlflow", "numba", "numpy"),
    *("optuna", "pandas", "pyarrow", "ray", "scipy", "sqlalchemy"),
}
"""Packages that take long to import, and that no help needs."""


def imported_after(statement):
    """The modules that a fresh interpreter has imported after `statement`."""
    ask = f"import sys\n{statement}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def commands_after(statement):
    """The modules of commands among them."""
    return {name for name in imported_after(statement) if name.startswith("campaign.cli.")}


def test_help_imports_no_command():
    statement = "from campaign.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert commands_after(statement) == FRONT_DOOR


def test_a_command_imports_no_other_one():
    statement = (
        "from campaign.__main__ import main\ntry: main(['golden', '-h'])\nexcept SystemExit: pass"
    )
    found = commands_after(statement)
    assert "campaign.cli.golden" in found
    assert not found & {f"campaign.cli.{name}" for name in entry.COMMANDS if name != "golden"}


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["golden", "--help"]])
def test_help_imports_nothing_slow(arguments):
    statement = (
        f"from campaign.__main__ import main\ntry: main({arguments})\nexcept SystemExit: pass"
    )
    assert not {name.partition(".")[0] for name in imported_after(statement)} & SLOW


@pytest.mark.parametrize("command", sorted(entry.COMMANDS))
def test_every_command_is_a_module_with_options(command):
    parser = build(entry.COMMANDS, [command], "")
    assert command_of(["-v", command]) == command
    with pytest.raises(SystemExit) as caught:
        parser.parse_args([command, "--help"])
    assert caught.value.code == 0


def test_the_console_command_is_the_module():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="hpc-campaign")
    assert script.load() is entry.main


def test_search_is_the_command_of_its_own_module(capsys):
    assert entry.main(["search", "cluster.nodes=3", "--cfg", "name=mine"]) == 0
    said = capsys.readouterr().out
    assert "name: mine" in said and "nodes: 3" in said
    assert entry.main(["-v", "search", "--cfg", "cluster.nodes=3", "name=mine"]) == 0
    assert capsys.readouterr().out == said


def test_version_names_release_sources_and_commit(capsys):
    with pytest.raises(SystemExit) as caught:
        entry.main(["--version"])
    assert caught.value.code == 0
    release = importlib.metadata.version("hpc-campaign")
    said = capsys.readouterr().out.strip()
    assert said == f"hpc-campaign {release} (source {source_digest()}, commit {git_commit()})"


def test_no_option_may_be_abbreviated(capsys):
    for arguments in (["ui", "--mlrun", "x"], ["search", "--dry"], ["list", "--js"]):
        assert entry.main(arguments) == 2
        assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "--multirun", "search.trials=3"], "setting=[low,high] is a range"),
        (["search", "--nope"], "`hpc-campaign search --help` says what there is."),
        (["export"], "the following arguments are required: what\n"),
        (["docs"], "invalid choice: 'docs'"),
        (["image", "show", "nope"], "to build, there are: flux, kubernetes, slurm,"),
        (["image", "show", "abc123"], "Build it: hpc-campaign image build slurm"),
        (["image", "diff", "flux", "nope"], "Build it: hpc-campaign image build flux"),
    ],
)
def test_a_wrong_command_line_is_one_clear_error(arguments, says, tmp_path, capsys):
    if arguments[0] == "image":
        arguments = ["image", "--store", str(tmp_path), *arguments[1:]]
    assert entry.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and says in said and "usage:" not in said


def completed(line):
    """What the shell is told to offer at the end of `line`."""
    read, write = os.pipe()
    script = f'exec 8>&{write}; exec {sys.executable} -m campaign "$@"'
    subprocess.run(
        ["bash", "-c", script],
        env={
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
        },
        pass_fds=[write],
        check=False,
    )
    os.close(write)
    with os.fdopen(read) as answer:
        return answer.read().split("\n")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hpc-campaign ", {"search", "list", "golden", "--version"}),
        ("hpc-campaign golden ", {"list", "clear"}),
        ("hpc-campaign search --d", {"--dry-run"}),
        ("hpc-campaign search work", {"workload=", "workload.jobs="}),
        ("hpc-campaign search workload=l", {"workload=lublin"}),
        ("hpc-campaign search cluster.nodes=3 scheduler.params.bf_int", {"scheduler.params"}),
        ("hpc-campaign doctor testbed.kind=", {"testbed.kind=libvirt", "testbed.kind=simulation"}),
    ],
)
def test_a_shell_completes_commands_options_groups_and_settings(line, offered):
    found = completed(line)
    for one in offered:
        assert any(name.strip().startswith(one) for name in found), found


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_code_for_a_shell_names_the_command(shell, capsys):
    assert entry.main(["completion", shell]) == 0
    assert "hpc-campaign" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "extra"), [("ray", "vm"), ("libvirt_qemu", "vm"), ("ray.actor", "vm")]
)
def test_a_module_that_an_extra_brings_is_explained(module, extra, capsys):
    @guarded
    def main(arguments=None):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert main([]) == 2
    assert f"pip install 'hpc-campaign[{extra}]'" in capsys.readouterr().err


def test_a_module_that_nothing_brings_is_a_bug():
    @guarded
    def main(arguments=None):
        raise ModuleNotFoundError("No module named 'nope'", name="nope")

    with pytest.raises(ModuleNotFoundError):
        main([])


def test_what_needs_an_extra_says_so_before_it_begins(monkeypatch):
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"testbed.kind = libvirt needs Ray"):
        optional.require("vm", "testbed.kind = libvirt")


COMMAND = (
    "import time\n"
    "from campaign.cli.failures import guarded\n"
    "@guarded\n"
    "def main(arguments):\n"
    "    print('begun', flush=True)\n"
    "    {body}\n"
    "    return 7\n"
    "raise SystemExit(main([]))\n"
)


@contextlib.contextmanager
def begun(body, ignored=()):
    """Start a command that does `body`, as nohup does with `ignored` signals; yield its process."""

    def ignore():
        for one in ignored:
            signal.signal(one, signal.SIG_IGN)

    with subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=ignore,  # noqa: PLW1509 - no threads run here
    ) as process:
        assert process.stdout.readline() == b"begun\n"
        yield process


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_is_ignored_at_the_start_stays_ignored(number):
    for ignored, status in (([number], 7), ([], 128 + number)):
        # Where the signal ends it, it must not end by itself before, however slow the machine is.
        with begun(f"time.sleep({0.5 if ignored else 120})", ignored) as process:
            process.send_signal(number)
            process.communicate()
        assert process.returncode == status


def test_ctrl_c_is_answered_at_once_and_a_second_one_ends():
    body = "exec('try: time.sleep(60)\\nfinally: time.sleep(60)')"
    with begun(body) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == b"\n"
        said = process.stderr.readline().decode()
        assert said.startswith("interrupted: ") and "a second Ctrl-C ends at once" in said
        process.send_signal(signal.SIGINT)
        assert b"\ninterrupted again: ending at once" in process.stderr.read()
    assert process.returncode == 128 + signal.SIGINT


def test_a_second_ctrl_c_ends_also_what_holds_on():
    stubborn = "exec('while True:\\n try: time.sleep(60)\\n except BaseException: pass')"
    with begun(stubborn) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() + process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert process.returncode == 128 + signal.SIGINT


def test_an_error_that_a_library_makes_of_ctrl_c_is_no_bug():
    body = "exec('try: time.sleep(60)\\nexcept BaseException: raise AttributeError')"
    with begun(body) as process:
        process.send_signal(signal.SIGINT)
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_nobodys_files(tmp_path, closed):
    script = COMMAND.format(
        body="file = open('data', 'w'); import os; os.write(1, b'x'); os.write(2, b'x'); "
        "import sys; print('x', file=sys.stderr)"
    )
    done = subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert (tmp_path / "data").read_bytes() == b""
