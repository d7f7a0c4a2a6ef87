"""Odd overrides and YAML: each composes, or is refused in words with a status of its own."""

import contextlib
import io
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from campaign.core.exits import USER_ERROR
from campaign.schema.model import Campaign
from campaign.schema.settings import rows
from campaign.search import main
from tests.fuzz.mutators import mutated

GROUPS = ("scheduler", "workload", "cluster", "hosts", "objectives", "sampler", "testbed")
OPTIONS = ("slurm", "flux", "volcano", "swf", "small", "local", "tpe", "simulation", "libvirt")
VALUES = (
    *("1", "-1", "0", "010", "1:30", "1e3", "1e400", "nan", "inf", "true", "null", "~", "''"),
    *("[1,2]", "[1,2,3]", "[4,1]", "[]", "[[1]]", "{}", "{low: 1, high: 4}", "{choices: [1,1]}"),
    *("{a: {b: {c: 1}}}", "[slurm,flux]", "1,2", "range(1,3)", "${name}", "${oc.env:HOME}", "${x"),
    *(
        "???",
        "a b",
        "a=b",
        "\\",
        "'",
        '"',
        "$",
        "@",
        "*",
        "&a",
        "!!int 1",
        "%",
        "é",
        "\u202e",
        "\n",
    ),
    *("[" * 49, "[" * 60, "x" * 300, "x" * 30_000, "/dev/null", "../..", "~nobody/x", "2" * 400),
)
KEYS = (
    *tuple(row.path for row in rows(Campaign)),
    *("scheduler.params.bf_interval", "scheduler.params.SchedulerType", "scheduler.arms.flux.x"),
    *("hosts.local.uri", "search.constraints.wait_p95_s.max", "objectives.cost", "hydra.run.dir"),
    *("cluster.nodes.low", "name.x", "x", "a.b.c", "x" * 300, "workload@x", "hydra/launcher"),
)
SIGNS = ("", "", "", "", "+", "++", "~", "-")


def _override(draw: random.Random) -> str:
    if draw.random() < 0.25:
        return f"{draw.choice(SIGNS)}{draw.choice(GROUPS)}={draw.choice(OPTIONS + VALUES)}"
    text = f"{draw.choice(SIGNS)}{draw.choice(KEYS)}={draw.choice(VALUES)}"
    if draw.random() < 0.4:
        text = mutated(draw, text.encode()).decode("utf-8", errors="replace")
    return text


def _said(arguments: list[str]) -> bool:
    """Run the command; return whether it took the arguments, else check that it says why not."""
    out = io.StringIO()
    err = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([*arguments, "--cfg"])
        except SystemExit as ended:  # argparse: help was asked for
            if ended.code not in (0, USER_ERROR):
                raise
            status = ended.code
    assert status in (0, USER_ERROR), f"{status} for {arguments}"
    assert "Traceback" not in err.getvalue(), f"a traceback for {arguments}"
    assert (out if status == 0 else err).getvalue().strip(), f"no word for {arguments}"
    return status == 0


def overrides(_folder: Path) -> Callable[[random.Random, int], bool]:
    """Return the case of overrides: it tells whether they compose."""
    assert _said([])

    def case(draw: random.Random, _number: int) -> bool:
        given = [_override(draw) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
        if draw.random() < 0.5:
            given.insert(0, "testbed=simulation")
        return _said(given)

    return case


def _aliases(levels: int) -> str:
    lines = ["x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for level in range(1, levels + 1):
        inner = ", ".join([f"*x{level - 1}"] * 9)
        lines.append(f"x{level}: &x{level} [{inner}]")
    return "\n".join(lines)


MAIN = (
    "defaults: [{scheduler: slurm}, {workload: demo}, {cluster: small}, {hosts: local}, _self_]\n"
)
BODIES = (
    *(
        "",
        "5",
        "'text'",
        "[1, 2]",
        "null",
        "true",
        "---\n---\n",
        "...",
        "# nothing",
        "\t",
        "a: b: c",
    ),
    *(
        "a: &a [*a]",
        "&a [*a]",
        "&a {b: *a}",
        "a: &a {<<: *a}",
        "a: *b",
        "? [1]\n: 2",
        "? {a: 1}\n: 2",
    ),
    *(_aliases(3), _aliases(5), _aliases(9), "[" * 40 + "]" * 40, "[" * 100_000, "{a: " * 5_000),
    *("- " * 3_000, "a:\n" + "".join(" " * n + "a:\n" for n in range(1, 300))),
    *("a: !!python/object/apply:os.system ['false']", "a: !!binary x", "a: !foo 1", "a: !!set {1}"),
    *("a: !!python/name:os.system", "a: !!timestamp 2001-01-01", "a: 2001-01-01", "2001-01-01: a"),
    *("name: 010", "search: {trials: 010}", "search: {trials: 1:30}", "search: {trials: 0x10}"),
    *("search: {trials: 1_0}", "search: {trials: 0b11}", "search: {trials: .inf}", "name: yes"),
    *("search: {trials: 1e1}", "search: {trials: 0o10}", "search: {trials: !!str 3}", "1: 2"),
    *("name: a\0b", "name: \x1b[2J", "name: '\\0'", 'name: "\\0"', 'name: "\\x1b"', "name: \u202e"),
    *("name: ${name}", "name: ${a.b}", "name: ${oc.env:HOME}", "a: ${b}\nb: ${a}", "name: ???"),
    *("defaults: x", "defaults: [x]", "defaults: [{a: b}]", "defaults: [mine]", "defaults: [[1]]"),
    *("defaults: [_self_, _self_]", "defaults: [{scheduler: [slurm, flux]}]", "defaults: {a: 1}"),
    *("hydra: {run: {dir: /x}}", "hydra: 5", "# @package a.b\nx: 1", "# @package _global_\nx: 1"),
    *(
        "name: a\nname: b",
        "x" * 1_200_000,
        "a: |\n  x\n b",
        "%YAML 9.9\n---\na: 1",
        "\ufeffname: a",
    ),
    *(MAIN + "hosts: 5", MAIN + "objectives: [a]", MAIN + "cluster: null", MAIN + "search: {}"),
    *(MAIN + "scheduler: {params: {bf_interval: [1, 2, 3]}}", MAIN + "workload: {jobs: 08}"),
)


def files(folder: Path) -> Callable[[random.Random, int], bool]:
    """Return the case of YAML: hand-made bodies as main file and as group, then mutated ones."""
    assert _said([])
    place = folder / "conf"

    def case(draw: random.Random, number: int) -> bool:
        body = BODIES[number % len(BODIES)].encode()
        if number >= 2 * len(BODIES):
            body = mutated(draw, body)
        shutil.rmtree(place, ignore_errors=True)
        (place / "workload").mkdir(parents=True)
        if number // len(BODIES) % 2:
            (place / "workload" / "mine.yaml").write_bytes(body)
            return _said(["workload=mine", "--config-dir", str(place)])
        (place / "mine.yaml").write_bytes(body)
        return _said(["--config-dir", str(place), "--config-name", "mine"])

    return case
