"""From a trace to the report: random traces and settings through every step of a simulation."""

import gzip
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign.analysis.metrics import compute
from campaign.analysis.metrics.measured import ClusterFacts
from campaign.config.compose import Composed, compose, compose_recorded
from campaign.core.errors import CampaignError
from campaign.core.trials import Trial
from campaign.execution.executor import Executor
from campaign.execution.start import Start, record_start
from campaign.execution.summary import facts_of, result_of
from campaign.records.ledger import Ledger, history_of
from campaign.records.results import Results
from campaign.report import page
from campaign.simulation.testbed import IDEAL, SimulationTestbed
from campaign.testbeds import NodeImages
from campaign.testbeds.preflight import workloads_for
from campaign.tracking.of_campaign import parameters_of
from tests.fuzz.mutators import mutated

SCHEDULERS = ("slurm", "flux", "kube", "volcano")
POLICIES = ("scheduler", *IDEAL)
LONG_S = (0, 1, 1, 59.9, 60, 3600, 3600, 86_400, 86_400, 1e6, 1e7, 1e8, 1e9, 2.1e9)
LONGEST_S = (2**31, 2**32 - 1, 2**32)
LIMITS_S = (-1, 0, 60, 86_400, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 1e10, 9e18)


def _bases(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the settings of a campaign over a trace, by scheduler; compile what they simulate."""
    found = {}
    file = folder / "warm.swf"
    file.write_text(_trace(random.Random(0)))
    for name in SCHEDULERS:
        chosen = ["testbed=simulation", f"scheduler={name}", "workload=swf"]
        base = compose([*chosen, f"workload.path={file}", "name=fuzz"]).campaign
        found[name] = base.model_dump(mode="json")
        for policy in POLICIES:
            for slots in (1, 4):
                config = _changed(found[name], file, policy)
                config["cluster"]["slots_per_node"] = slots
                composed = compose_recorded(config)
                _testbed(composed).warm_up()
    return found


def _changed(base: dict[str, Any], file: Path, policy: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(json.dumps(base))
    config["workload"]["path"] = str(file)
    config["testbed"]["policy"] = policy
    return config


def _testbed(composed: Composed) -> SimulationTestbed:
    parts = (composed.campaign, composed.schedulers, composed.space)
    return SimulationTestbed(*parts, *workloads_for(*parts))


def _trace(draw: random.Random, *, times: tuple[float, ...] = ()) -> str:
    lines = [f"; MaxProcs: {draw.choice((1, 4, 64, 10**9))}"] if draw.random() < 0.5 else []
    arrival = 0.0
    if draw.random() < 0.1:
        times += LONGEST_S if times else ()
    for number in range(1, draw.randint(1, 12 if times else 40) + 1):
        arrival += draw.choice((0, 1, draw.random() * 100, draw.choice((0, 0, 0, 1e5))))
        run = draw.choice(times or (draw.random() * 1000, 0, 1, 3600))
        limit = draw.choice(LIMITS_S if times else (run, run * 2, -1, 60, 1e6))
        width = draw.choice((1, 2, 3, 8, 100))
        numbers = (number, arrival, -1, run, width, -1, -1, width, limit, -1)
        rest = (draw.choice((1, 1, 1, 0, 5)), draw.choice((1, 2, -1)), 1, -1, 1, 1, -1, -1)
        lines.append(" ".join(f"{each:.12g}" for each in (*numbers, *rest)))
    return "\n".join(lines) + "\n"


def _settings(draw: random.Random, config: dict[str, Any]) -> None:
    choice = draw.choice
    config["cluster"]["nodes"] = choice((1, 2, [1, 4], [2, 300], {"choices": [1, 3]}))
    config["cluster"]["slots_per_node"] = choice((1, 1, 4, 128))
    config["workload"] |= {
        "jobs": choice((None, None, 1, 5)),
        "wide": choice(("cut", "scale", "drop")),
        "time_scale": choice((1.0, 1.0, 1e-6, 0.01, 1e3)),
        "load": choice((None, None, 0.001, 0.7, 100.0)),
        "max_runtime_s": choice((None, None, 100.0)),
        "window_s": choice((None, None, [0.0, 50.0])),
    }
    for name in (
        "submit_s",
        "launch_s",
        "overrun_s",
        "release_s",
        "cycle_offset_s",
        "lead_s",
        "clock_s",
    ):
        config["testbed"][name] = choice((0.0, 0.0, 0.5, 86_400.0))
    config["search"] |= {"trials": choice((1, 2, 3)), "retries": 0, "seed": draw.randint(0, 9)}
    config["sampler"]["name"] = choice(("tpe", "nsga2", "random"))
    config["cost"]["node_hour"] = choice((1.0, 0.0, 1e300))


def campaigns(folder: Path) -> Callable[[random.Random, int], bool]:
    """Return the case of whole campaigns: it tells whether any trial is in the report."""
    bases = _bases(folder)

    def case(draw: random.Random, number: int) -> bool:
        content = _trace(draw, times=LONG_S if draw.random() < 0.2 else ()).encode()
        content = mutated(draw, content) if draw.random() < 0.4 else content
        file = folder / "fuzz.swf"
        file.write_bytes(gzip.compress(content, 1) if draw.random() < 0.2 else content)
        config = _changed(bases[draw.choice(SCHEDULERS)], file, draw.choice(POLICIES))
        _settings(draw, config)
        place = folder / f"results{number}"
        try:
            return _carried_out(compose_recorded(config), Results(place, "fuzz"))
        finally:
            shutil.rmtree(place, ignore_errors=True)

    return case


def _carried_out(composed: Composed, results: Results) -> bool:
    """Run the campaign as the command does, less MLflow; check what is written."""
    campaign = composed.campaign
    workloads = workloads_for(campaign, composed.schedulers, composed.space)
    parameters = parameters_of(composed.schedulers, composed.space)
    with Ledger(results.ledger_path) as ledger:
        start = Start.of(campaign, parameters, workloads, ())
        record_start(start, NodeImages(), ledger, results, own_group=False)
        executor = Executor(
            campaign, composed.space, ledger=ledger, results=results, testbed=_testbed(composed)
        )
        try:
            executor.run()
        except CampaignError as error:
            assert str(error)
        facts = facts_of(composed, results, ledger.history)
        result = result_of(facts, composed.schedulers, ledger.history, results.ledger_path)
        page.write(results.report_path, result, results.trial_jobs)
    assert results.report_path.stat().st_size > 1000
    records = history_of(results.ledger_path).final()
    for line in results.ledger_path.read_text().splitlines():
        json.loads(line, parse_constant=_no_number)
    for record in records:
        assert all(math.isfinite(value) for value in record.metrics.values()), record.metrics
    return any(record.valid for record in records)


def _no_number(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def unlimited(folder: Path) -> Callable[[random.Random, int], bool]:
    """Return the case of traces with limits of decades, under all policies of all schedulers."""
    bases = _bases(folder)

    def case(draw: random.Random, _number: int) -> bool:
        file = folder / "fuzz.swf"
        file.write_text(_trace(draw, times=LONG_S))
        cluster = {"nodes": draw.choice((1, 2, 5)), "slots_per_node": draw.choice((1, 4))}
        found = False
        for name, policy in [("slurm", each) for each in POLICIES] + [
            (each, "scheduler") for each in SCHEDULERS[1:]
        ]:
            config = _changed(bases[name], file, policy)
            config["cluster"] |= cluster
            if name == "slurm":
                config["scheduler"]["params"] = {
                    "SchedulerType": draw.choice(("sched/backfill", "sched/builtin")),
                    "PriorityWeightAge": draw.choice((0, 1000)),
                    "PriorityWeightJobSize": draw.choice((0, 1000)),
                }
            found |= _evaluated(compose_recorded(config))
        return found

    return case


def _evaluated(composed: Composed) -> bool:
    """Evaluate a trial; check that every job ran after it came, or that the reason is told."""
    trial = Trial(number=0, point=composed.baseline.point)
    evaluation = _testbed(composed).evaluate(trial)
    if evaluation.jobs is None:
        assert evaluation.reason
        return False
    start = evaluation.jobs.column("start_ns").to_numpy()
    end = evaluation.jobs.column("end_ns").to_numpy()
    assert (start >= evaluation.jobs.column("submit_ns").to_numpy()).all()
    assert (end > start).all() and end.max() < 2**62
    facts = ClusterFacts(nodes=1, slots=4)
    values = compute(evaluation.jobs, facts, {}).values
    assert all(math.isfinite(value) for value in values.values())
    return True
