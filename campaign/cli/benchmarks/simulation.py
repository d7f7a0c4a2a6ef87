"""`python -m campaign bench simulation`: how fast the simulation is, beside a public simulator on
the same jobs."""

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from campaign.config.compose import compose
from campaign.core.version import git_commit

PACKAGES = ("numba", "numpy", "accasim")


def run(overrides: Sequence[str], place: Path, rounds: int) -> None:
    """Measure, print the table and leave it in `place`. Of the settings (`overrides`) only the
    scheduler's name has a meaning here: its policy is simulated beside the ideal ones."""
    from campaign.bench.speed import measure
    from campaign.bench.speed_table import as_json, as_text

    scheduler = compose(overrides).scheduler.name
    if overrides:
        _say("of the settings, the benchmark of the simulation uses only the scheduler's name")
    measured = measure(rounds, scheduler, _facts(rounds), _say)
    table = as_text(measured)
    place.mkdir(parents=True, exist_ok=True)
    place.joinpath("simulation.txt").write_text(table, encoding="utf-8")
    place.joinpath("simulation.json").write_text(as_json(measured), encoding="utf-8")
    print(f"\n{table}\n{place} holds simulation.txt and simulation.json")


def _facts(rounds: int) -> dict[str, str]:
    from actors.hypervisor.capacity import read_cpu_model
    from campaign.bench.speed import CLUSTER, OFFERED

    return {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": git_commit(),
        "cpu": f"{os.cpu_count()} of {read_cpu_model()}",
        "versions": f"Python {platform.python_version()}, {', '.join(map(_version, PACKAGES))}",
        "cluster": f"{CLUSTER.count:,} nodes of {CLUSTER.slots} slot, offered load {OFFERED:g}",
        "rounds": str(rounds),
    }


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def _say(text: str) -> None:
    print(text, flush=True)
