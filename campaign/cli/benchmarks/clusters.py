"""`python -m campaign bench clusters`: how fast a cluster is there, booted and restored, on this
machine and in one run."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.config.compose import Composed, compose
from campaign.core.version import git_commit

if TYPE_CHECKING:
    from campaign.bench.budgets import Measured
    from campaign.bench.clusters import Plan
    from campaign.images.bundles.manifest import Bundle

BASE = ("name=bench", "cluster.nodes=2", "scheduler.params={bf_interval: 7}")
"""The campaign that is measured unless overrides say otherwise; its scheduler.params are those of
row (c+)."""


def run(overrides: Sequence[str], place: Path, rounds: int) -> None:
    """Measure, print the tables, and leave them in `place` with all samples and a picture."""
    composed = compose([*BASE, *overrides])

    from campaign.bench.budgets import as_json, as_svg, as_text

    place.mkdir(parents=True, exist_ok=True)
    measured = _measure(composed, rounds)
    table = as_text(measured)
    for name, text in {
        "bench.txt": table,
        "bench.json": as_json(measured),
        "bench.svg": as_svg(measured),
    }.items():
        place.joinpath(name).write_text(text, encoding="utf-8")
    print(f"\n{table}\n{place} holds bench.txt, bench.json and bench.svg")


def _measure(composed: Composed, rounds: int) -> "Measured":
    from campaign.bench.clusters import measure
    from campaign.testbeds.preflight import check_capacity, check_ports

    check_capacity(composed)
    check_ports(composed)
    plan = _plan(composed, _bundle(composed), rounds)
    name, settings = next(iter(composed.campaign.hosts.items()))
    return measure(plan, name, settings, _facts(composed, plan), _say)


def _plan(composed: Composed, bundle: "Bundle", rounds: int) -> "Plan":
    from campaign.bench.clusters import OwnGolden, Plan
    from campaign.cli.export import fixed_point

    point = fixed_point(composed)
    nodes = composed.space.nodes(point)
    spec = OwnGolden(
        campaign=composed.campaign.name,
        scheduler=composed.scheduler,
        settings=composed.campaign.cluster,
        bundle=bundle,
        smallest=nodes,
        largest=nodes,
        run=f"{time.time_ns()}-{os.getpid()}",
    )
    return Plan(spec, composed.space.params(point), rounds)


def _bundle(composed: Composed) -> "Bundle":
    """The image as a campaign that begins now would get it."""
    from tempfile import TemporaryDirectory

    from campaign.records.ledger import Ledger
    from campaign.testbeds.preflight import bundles_for

    with TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.jsonl") as unbegun:
        return bundles_for(composed, unbegun, _say)[composed.scheduler.name]


def _facts(composed: Composed, plan: "Plan") -> dict[str, str]:
    cluster = plan.spec.settings
    return {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": git_commit(),
        "image": plan.spec.bundle.hash,
        "scheduler": composed.scheduler.name,
        "cluster": f"a head and {plan.spec.largest} compute nodes, each {cluster.vcpus} vCPU, "
        f"{cluster.memory_mib} MiB",
        "(c+) is moved to": " ".join(f"{name}={value}" for name, value in plan.moved.items())
        or "the same settings",
        "rounds": str(plan.rounds),
    }


def _say(text: str) -> None:
    print(text, flush=True)
