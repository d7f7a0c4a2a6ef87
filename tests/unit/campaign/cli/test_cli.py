"""The commands as their users meet them: help, printed configuration, dry run, exit statuses and
messages."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from campaign import __main__ as surrounding
from campaign import search
from campaign.cli import docs
from campaign.cli.failures import guarded, message
from campaign.cli.help import text as help_text
from campaign.cli.search import USAGE
from campaign.cli.search import parser as search_parser
from campaign.config.compose import compose
from campaign.config.defaults import parameter_rows, setting_rows
from campaign.config.groups import groups
from campaign.core.errors import CampaignError, ConfigError
from campaign.core.exits import TRIALS_FAILED, USER_ERROR
from campaign.schema.model import Campaign
from campaign.schema.settings import rows
from schedulers.registry import adapter, names
from search.space import Categorical, Integer, Real, dimension_text
from tests.parsing import undisturbed_parsing

ROOT = Path(__file__).parents[4]
HEAVY = (
    "ray",
    "mlflow",
    "optuna",
    "hydra",
    "omegaconf",
    "pyarrow",
    "numpy",
    "asyncssh",
    "libvirt",
    "rich",
)


def imported_by(statement):
    """Which of HEAVY a fresh interpreter has imported after `statement`."""
    ask = (
        f"import sys\n{statement}\nprint(*(name for name in {HEAVY} if name in sys.modules), "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return done.stderr.split()


def test_help_imports_nothing_heavy():
    assert imported_by("from campaign.search import main; main(['--help'])") == []


def test_what_is_only_asked_starts_no_machinery():
    asked = (
        "from campaign.search import main; main(['--cfg']); main(['--dry-run', "
        "'image.store=/nonexistent'])"
    )
    assert not {"ray", "mlflow", "optuna"} & set(imported_by(asked))


def test_only_the_entries_know_the_commands():
    """What the commands stand on imports none of them, not even in a function."""
    entries = {"campaign/__main__.py", "campaign/search.py"}
    rooms = ("actors", "campaign", "schedulers", "search")
    with undisturbed_parsing():
        known = {
            str(path.relative_to(ROOT)): list(imported_modules(path))
            for room in rooms
            for path in (ROOT / room).rglob("*.py")
        }
    guilty = {
        name
        for name, modules in known.items()
        if any(m.startswith("campaign.cli") for m in modules)
    }
    assert entries <= guilty
    assert {name for name in guilty - entries if not name.startswith("campaign/cli/")} == set()


def imported_modules(path):
    """The modules that a file imports anywhere in it, `from a import b` as a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_help_says_every_group_setting_and_tunable(capsys):
    assert search.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for group, options in groups().items():
        assert any(line.split() == [group, *" | ".join(options).split()] for line in lines), group
    known = [row.path for row in rows(Campaign)]
    for params in (adapter(name).Params for name in names()):
        known += [row.path for row in rows(params)]
        known += [f"{prefix}NAME" for prefix in params.open]
    stated = [*setting_rows(), *(row for name in names() for row in parameter_rows(name))]
    assert [row.path for row in stated] == known
    for row in stated:
        bounds = f"({row.allowed_with_unit}; default {row.default})"
        assert any(
            line.split()[:1] == [row.path] and f"{row.help}  {bounds}" in line for line in lines
        ), row.path
    for option in ("--cfg", "--dry-run", "--config-dir", "--config-name"):
        assert any(line.strip().startswith(option) for line in lines)


def test_help_is_folded_to_a_terminals_width():
    whole = help_text(search_parser(), USAGE)
    folded = help_text(search_parser(), USAGE, 100)
    tables = folded[folded.index("settings (setting=value)") :]
    assert max(map(len, tables.splitlines())) <= 100
    assert folded.split() == whole.split()
    # Too narrow for columns: the terminal folds.
    assert help_text(search_parser(), USAGE, 60) == whole


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (
            "cluster.nodes={low: 1, high: 8, log: true}",
            "search.constraints.wait_max_s.max=60",
            "name=other",
        ),
        (
            "scheduler.params={defer: [true, false]}",
            "hosts={far: {uri: 'qemu+unix:///system?socket=/a=1'}}",
            "sampler=nsga2",
        ),
        ("workload=swf", "workload.path='a: b, {c}.swf'", "objectives=wait_cost_use"),
    ],
)
def test_what_cfg_prints_composes_to_the_same_campaign(overrides, tmp_path, capsys):
    assert search.main([*overrides, "--cfg"]) == 0
    (tmp_path / "again.yaml").write_text(capsys.readouterr().out)
    again = compose([], config_dir=tmp_path, config_name="again")
    expected = compose(list(overrides))
    assert again.campaign == expected.campaign and again.space == expected.space


def test_a_dry_run_says_what_would_happen(tmp_path, capsys):
    options = [
        "--dry-run",
        f"image.store={tmp_path}/images",
        "hosts.local.memory_mib=9000",
        "hosts.local.vcpus=9",
    ]
    assert search.main([*options, f"hosts.local.state_dir={tmp_path}/state"]) == 0
    said = capsys.readouterr().out
    for part in (
        "demo: 10 trials, sampler tpe",
        "image slurm would be built",
        "2..4 compute nodes and a head, each a VM of 512 MiB",
        "20 jobs of demo",
        "bf_interval in [1, 30], log",
        "9000 MiB",
        "9 vCPUs",
        "it fits",
    ):
        assert part in said
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_what_does_not_fit_says_what_is_missing(tmp_path, capsys):
    assert (
        search.main(["--dry-run", "hosts.local.memory_mib=1000", f"image.store={tmp_path}"])
        == USER_ERROR
    )
    assert "of memory are needed, 1000 are free" in capsys.readouterr().out


def test_a_dry_run_says_that_an_image_is_missing(tmp_path, capsys):
    options = ["--dry-run", "image.build=never", f"image.store={tmp_path}/none"]
    assert search.main(options) == USER_ERROR
    assert "image slurm is MISSING" in capsys.readouterr().out


def test_a_dry_run_says_which_files_an_image_still_needs(tmp_path, capsys):
    options = ["--dry-run", "scheduler=flux", f"image.store={tmp_path}", f"image.extras={tmp_path}"]
    assert search.main([*options, "hosts.local.memory_mib=9000"]) == USER_ERROR
    said = capsys.readouterr().out
    assert "image flux can't be built: image flux needs 1 file that no mirror has" in said
    assert "flux.tar.zst: it is missing" in said and f"fix: Put them into {tmp_path}" in said


def test_a_dry_run_of_a_simulation_builds_and_boots_nothing(capsys):
    assert search.main(["--dry-run", "testbed=simulation", "cluster.nodes=[2,900]"]) == 0
    said = capsys.readouterr().out
    assert "simulate   by discrete events" in said and "20 jobs of demo" in said
    assert "build" not in said.split("nothing is built")[0] and "capacity" not in said


def test_dimensions_are_written_as_people_do():
    assert dimension_text(Integer(1, 9, step=2)) == "[1, 9], step 2"
    assert dimension_text(Real(0.5, 2.0, log=True)) == "[0.5, 2.0], log"
    assert dimension_text(Categorical(("a", True))) == "{a, True}"


def ending(error):
    @guarded
    def main(arguments=None):
        raise error

    return main


def test_an_error_has_three_parts_on_standard_error(capsys):
    error = ConfigError("x = 3: too many", "first\nsecond", "Use fewer.")
    assert ending(error)([]) == USER_ERROR == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: x = 3: too many\n  | first\n  | second\nUse fewer.\n")
    assert message(CampaignError("alone")) == "error: alone"


def test_interrupts_have_the_shells_statuses(capsys):
    assert ending(KeyboardInterrupt())([]) == 130
    assert "the same command again" in capsys.readouterr().err
    assert ending(BrokenPipeError())([]) == 141


def test_a_bug_of_ours_shows_its_traceback():
    with pytest.raises(ZeroDivisionError):
        ending(ZeroDivisionError())([])


def test_sigterm_ends_a_command_with_its_cleanup():
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    @guarded
    def main(arguments=None):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            cleaned.append(True)

    try:
        assert main([]) == 143 and cleaned
    finally:
        signal.signal(signal.SIGTERM, before)
    assert TRIALS_FAILED == 3


@pytest.mark.parametrize(
    "wrong", [["search.trials=0"], ["--config-dir", "/nonexistent"], ["cluster=huge"]]
)
def test_a_wrong_command_line_is_a_user_error(wrong, capsys):
    assert search.main([*wrong, "--dry-run"]) == USER_ERROR
    assert capsys.readouterr().err.startswith("error: ")


def test_the_other_commands_are_listed(capsys):
    with pytest.raises(SystemExit) as caught:
        surrounding.main(["--help"])
    said = capsys.readouterr().out
    assert (
        caught.value.code == 0 and [name for name in surrounding.COMMANDS if name not in said] == []
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["golden"],
        ["image"],
        ["image", "show"],
        ["image", "nope"],
        ["ui", "--port", "x"],
    ],
)
def test_arguments_that_are_none_are_refused(arguments):
    assert surrounding.main(arguments) == USER_ERROR


@pytest.mark.parametrize(
    ("arguments", "module", "expected"),
    [
        (["ui"], "ui", {"port": 5000}),
        (["ui", "--port", "5055", "--mlruns", "m"], "ui", {"port": 5055}),
        (["report"], "report", {"name": []}),
        (["report", "mine"], "report", {"name": ["mine"]}),
        (
            ["clean", "--all", "hosts.local.uri=x"],
            "clean",
            {"all": True, "overrides": ["hosts.local.uri=x"]},
        ),
        (["doctor", "cluster.nodes=3"], "doctor", {"overrides": ["cluster.nodes=3"]}),
        (["golden", "list"], "golden", {"action": "list", "overrides": []}),
        (
            ["golden", "clear", "hosts.local.uri=x"],
            "golden",
            {"action": "clear", "overrides": ["hosts.local.uri=x"]},
        ),
        (
            ["image", "build"],
            "image",
            {"action": "build", "name": "slurm", "locked": True},
        ),
        (
            ["image", "build", "--no-locked"],
            "image",
            {"action": "build", "name": "slurm", "locked": False},
        ),
        (
            ["image", "gc", "--keep", "a", "--keep", "b"],
            "image",
            {"action": "gc", "keep": ["a", "b"]},
        ),
        (["image", "remove", "a30b"], "image", {"action": "remove", "image": "a30b"}),
    ],
)
def test_arguments_reach_their_command(arguments, module, expected, monkeypatch):
    import importlib

    seen = []
    monkeypatch.setattr(
        importlib.import_module(f"campaign.cli.{module}"),
        "run",
        lambda o: seen.append(vars(o)) or 0,
    )
    assert surrounding.main(arguments) == 0
    assert seen[0].items() >= expected.items()


def test_a_report_of_no_campaign_is_a_user_error(tmp_path, capsys):
    assert surrounding.main(["report", "nope", "--results", str(tmp_path)]) == USER_ERROR
    assert f"there is no campaign at {tmp_path}/nope" in capsys.readouterr().err


def test_a_report_without_a_name_says_which_campaigns_there_are(tmp_path, capsys):
    assert surrounding.main(["report", "--results", str(tmp_path)]) == USER_ERROR
    assert f"{tmp_path} holds no campaigns" in capsys.readouterr().err
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ledger.jsonl").touch()
    assert surrounding.main(["report", "--results", str(tmp_path)]) == USER_ERROR
    said = capsys.readouterr().err
    assert f"in {tmp_path}: one, two" in said and "hpc-campaign list" in said


def test_the_tables_of_docs_come_from_the_rows(tmp_path, capsys):
    assert docs.main([str(tmp_path / "docs")]) == 0
    written = {path.name: path.read_text() for path in (tmp_path / "docs").iterdir()}
    assert written == docs.pages()
    assert "| `cluster.memory_mib` | [256 .. 1048576] MiB | 512 |" in written["settings.md"]
    assert (
        "| `bf_interval` | -1 or [1 .. 10800] s | 30; scheduler=slurm has {low: 1"
        in written["settings.md"]
    )
    assert "| makespan_s | s |" in written["metrics.md"]


def test_a_dry_run_says_what_a_start_would_refuse(tmp_path, capsys, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    lacking = ("libvirt", "ansible")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *_: None if name in lacking else real(name)
    )
    options = ["--dry-run", f"image.store={tmp_path}", "hosts.local.ports=[65535,65535]"]
    assert search.main([*options, "bootstrap.via=ansible"]) == USER_ERROR
    said = capsys.readouterr().out
    for part in ("needs libvirt-python", "needs ansible-core", "hosts.local.ports", "fix: "):
        assert part in said


@pytest.mark.parametrize("machines", [True, False])
def test_the_doctor_says_where_every_scheduler_can_run(tmp_path, machines):
    from campaign.testbeds.scheduler_check import schedulers_here
    from schedulers.registry import names

    options = [f"image.store={tmp_path}", f"image.extras={tmp_path}", "image.builder=debian"]
    image = compose(options).campaign.image
    found = {one.name: one for one in schedulers_here(image, machines=machines)}
    assert tuple(found) == names() and all("in simulation" in one.runs for one in found.values())
    slurm, flux = found["slurm"], found["flux"]
    if machines:
        assert slurm.runs.startswith("in simulation, in virtual time and on virtual machines")
        assert not slurm.lacks
        assert "flux.tar.zst: it is missing" in flux.lacks and "sha256sum" in flux.fix
        assert "docs/schedulers.md" in flux.fix
        command = f"hpc-campaign image extras kubernetes --extras {tmp_path} brings them"
        assert found["kube"].fix.startswith(command) and command in found["volcano"].fix
    else:
        assert slurm.lacks and flux.lacks


def test_the_doctor_names_the_image_of_every_scheduler(tmp_path):
    from campaign.config.compose import compose
    from campaign.testbeds import machine_check

    found = list(machine_check._image(compose(["scheduler=slurm-flux", f"image.store={tmp_path}"])))
    images = [finding for finding in found if finding.what == "image"]
    assert [finding.found.split()[0] for finding in images] == ["flux", "slurm"]


def test_the_doctor_names_the_files_that_the_chosen_schedulers_image_needs(tmp_path, monkeypatch):
    from campaign.config.compose import compose
    from campaign.testbeds import machine_check

    options = [f"image.store={tmp_path}", f"image.extras={tmp_path}", "image.builder=debian"]
    building = ("image.extras", "image.builder")

    def files(*more):
        found = machine_check._image(compose([*options, *more], used_elsewhere=building))
        return [finding for finding in found if finding.what == "files"]

    (finding,) = files("scheduler=volcano")
    assert finding.state == "missing"
    assert "image kubernetes needs 7 files that no mirror has" in finding.found
    assert "vc-scheduler: it is missing" in finding.found and "usually from" in finding.found
    assert f"Put them into {tmp_path}" in finding.fix and "sha256sum" in finding.fix
    assert files("scheduler=slurm") == []
    assert files("scheduler=volcano", "image.build=never") == []
