"""`python -m campaign bench validation`: the same workloads on virtual machines and in simulation,
and how far they are apart. The simulation's delays are fitted to one workload and tested on
another."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from campaign.config.compose import Composed, compose
from campaign.core.errors import CampaignError
from campaign.core.jobs import tau_of
from campaign.core.testbed import Testbed
from campaign.core.trials import Evaluation, Point, Trial
from campaign.records.ledger import Ledger
from campaign.testbeds.libvirt import OnLibvirt
from campaign.testbeds.preflight import workload_for
from search.space import NODES, PARAMS

if TYPE_CHECKING:
    from campaign.simulation.calibration import Case

SHARED = ("name=validation", "cluster.nodes=[2,4]")
FITTED_ON = (*SHARED, "workload=demo", "workload.seed=21")
TESTED_ON = (*SHARED, "workload=demo")
POINTS = (
    (2, "sched/backfill", 2),
    (3, "sched/builtin", 30),
    (4, "sched/backfill", 10),
)
"""What is measured of each workload: compute nodes, SchedulerType, bf_interval."""
ATTEMPTS = 2
POLL_S = 0.5


def run(overrides: Sequence[str], place: Path, rounds: int) -> None:
    """Measure each point `rounds` times on both workloads, fit, compare; print the table and leave
    it in `place`."""
    import pyarrow.parquet as pq

    from campaign.bench.validation import as_json, as_table, as_text
    from campaign.simulation.calibration import fit

    fitted_on, tested_on = _measure(
        [compose([*one, *overrides]) for one in (FITTED_ON, TESTED_ON)], rounds
    )
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(as_table(fitted_on, tested_on), place / "validation.parquet")
    delays = fit(fitted_on)
    table = as_text(fitted_on, tested_on, delays)
    place.joinpath("validation.txt").write_text(table, encoding="utf-8")
    place.joinpath("validation.json").write_text(
        as_json(fitted_on, tested_on, delays), encoding="utf-8"
    )
    print(
        f"\n{table}\n{place} holds validation.txt, validation.json and the jobs in "
        "validation.parquet"
    )


def _measure(campaigns: Sequence[Composed], rounds: int) -> "list[list[Case]]":
    """The points of each campaign's workload, on the virtual machines of the first: they differ in
    the workload alone."""
    workloads = [workload_for(composed) for composed in campaigns]
    points = [_point(*point) for point in POINTS] * rounds
    means = OnLibvirt(campaigns[0])
    with (
        TemporaryDirectory() as folder,
        Ledger(Path(folder) / "ledger.jsonl") as unbegun,
        ExitStack() as stack,
    ):
        means.prepare(unbegun, _say)
        means.check()
        testbed = means.open_for(stack, lambda trial: workloads[trial.number // len(points)], _say)
        trials = (
            Trial(number=number, point=point)
            for number, point in enumerate(points * len(campaigns))
        )
        return [
            [
                _case(composed, trial, _evaluated(testbed, trial))
                for trial in islice(trials, len(points))
            ]
            for composed in campaigns
        ]


def _point(nodes: int, scheduler_type: str, bf_interval: int) -> Point:
    return {
        NODES: nodes,
        f"{PARAMS}.SchedulerType": scheduler_type,
        f"{PARAMS}.bf_interval": bf_interval,
    }


def _evaluated(testbed: Testbed, trial: Trial) -> Evaluation:
    """A valid evaluation of the trial; raises CampaignError when there is none."""
    for attempt in range(1, ATTEMPTS + 1):
        _say(f"trial {trial.number}: {_label(trial)}")
        testbed.start(trial.model_copy(update={"attempt": attempt}))
        while not (ended := testbed.wait(POLL_S)):
            time.sleep(0.01)
        ((_, evaluation),) = ended
        if evaluation.outcome == "ok" and evaluation.jobs is not None:
            return evaluation
    raise CampaignError(f"trial {trial.number} was {evaluation.outcome}: {evaluation.reason}")


def _case(composed: Composed, trial: Trial, evaluation: Evaluation) -> "Case":
    from campaign.simulation.calibration import Case
    from campaign.simulation.engine import Nodes

    campaign = composed.campaign
    space = composed.space
    scheduler = composed.scheduler
    return Case(
        label=_label(trial),
        workload=workload_for(composed),
        nodes=Nodes(space.nodes(trial.point), campaign.cluster.slots_per_node),
        policy=scheduler.policy(scheduler.Params(**space.params(trial.point))),
        jobs=evaluation.jobs,
        tau_s=tau_of(campaign.workload.time_scale),
    )


def _label(trial: Trial) -> str:
    return ", ".join(f"{path.rpartition('.')[2]}={value}" for path, value in trial.point.items())


def _say(text: str) -> None:
    print(text, flush=True)
