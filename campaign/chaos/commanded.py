"""The campaigns that are disturbed by their command line, and what each gives undisturbed."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from campaign.chaos.drivers import CommandCampaign, ForkedDriver, warm_up
from campaign.chaos.kept import KeptCampaign, broken_at_the_end, kept_by
from campaign.chaos.runs import ChaosRun
from campaign.core.errors import CampaignError
from campaign.records.results import Results

_NODES = "cluster.nodes=[1,4]"
KINDS = (
    (_NODES, "search.trials=8", "search.batch=4"),
    (_NODES, "search.trials=6", "sampler=nsga2", "search.batch=3"),
    (_NODES, "search.trials=6", "sampler=random", "scheduler=slurm-flux"),
    ("cluster.nodes=2", "search.trials=5", "workload=poisson", "workload.jobs=30"),
    (_NODES, "search.trials=4", "search.batch=2", "objectives=wait_cost_use"),
    (
        *(_NODES, "search.trials=12", "search.batch=2", "workload.instances=3"),
        *("search.race_after=1", "search.holdout=1", "search.patience=4", "testbed.parallel=2"),
        *("workload=poisson", "workload.jobs=15"),
    ),
    (
        *(_NODES, "search.trials=5", "scheduler=slurm-flux", "search.arm_trials=1"),
        *("workload.instances=2", "search.quantile=0.8", "search.holdout=2"),
        *("search.race_after=1", "sampler=qmc"),
    ),
)
"""The settings of each kind of campaign: with replicates, races and hold-outs too."""
SAID_CHARACTERS = 1500
"""Of what a driver printed that ended wrongly, the last characters are reported."""


class CommandedCampaigns:
    """The kinds of campaigns; each is run once undisturbed, in `folder`, when it is first drawn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[int, tuple[KeptCampaign, int]] = {}

    def drawn(self, seed: int) -> tuple[tuple[str, ...], KeptCampaign, int]:
        """Return the settings of a seed's campaign, what it leaves, and its ledger's lines."""
        kind = seed % len(KINDS)
        if kind not in self._known:
            self._known[kind] = undisturbed(KINDS[kind], self.folder / str(kind))
        return KINDS[kind], *self._known[kind]


@contextlib.contextmanager
def commanded_campaigns() -> Iterator[CommandedCampaigns]:
    """Get ready to run campaigns as forks of this process, in a temporary folder."""
    warm_up()
    with TemporaryDirectory(prefix="campaign-chaos-") as name:
        yield CommandedCampaigns(Path(name))


def undisturbed(
    settings: tuple[str, ...], folder: Path, prepare: Callable[[], object] | None = None
) -> tuple[KeptCampaign, int]:
    """Run a campaign in `folder`; return what it leaves, and how many lines its ledger has.

    `prepare` is called in the driver before its command. Raises CampaignError if it fails.
    """
    folder.mkdir()
    campaign = CommandCampaign(settings, folder)
    with ForkedDriver(campaign.arguments, folder / "said", prepare) as driver:
        if driver.wait() != 0:
            raise CampaignError("an undisturbed campaign failed", driver.said)
    return kept_by(campaign), lines_of(campaign)


def lines_of(campaign: CommandCampaign) -> int:
    """Return how many lines the ledger of a campaign has; 0 where there is none yet."""
    path = Results(campaign.results, campaign.name).ledger_path
    return path.read_bytes().count(b"\n") if path.exists() else 0


def finish(campaign: CommandCampaign, undisturbed: KeptCampaign, outcome: ChaosRun) -> None:
    """Resume a campaign undisturbed, and check what must hold at its end."""
    outcome.drivers += 1
    with ForkedDriver(campaign.arguments, campaign.folder / "said") as driver:
        status = driver.wait()
    if status != 0:
        said = driver.said[-SAID_CHARACTERS:]
        outcome.broken.append(f"the last driver ended with {status}: {said}")
        return
    broken = broken_at_the_end(campaign, undisturbed)
    outcome.broken += [f"at the end: {line}" for line in broken]
