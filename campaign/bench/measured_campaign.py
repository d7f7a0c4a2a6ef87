"""The trials of a campaign beside the simulation of the same points: how well it foretells them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import pyarrow as pa

from campaign.bench.agreement_table import (
    SHOWN,
    TITLES,
    apart,
    errors_json,
    held_out_lines,
    overrides,
    parted,
)
from campaign.bench.held_out import errors
from campaign.config.compose import Composed
from campaign.core.errors import ConfigError, LedgerError
from campaign.core.jobs import Workload, tau_of
from campaign.core.trials import TrialRecord
from campaign.execution.report_again import begun
from campaign.records.history import History
from campaign.records.results import Results
from campaign.simulation.calibration import CalibrationCase, differences, fit
from campaign.simulation.engine import Delays, Nodes

FEWEST = 3
"""Of fewer points, an order says nothing."""


@dataclass(frozen=True)
class MeasuredCampaign:
    """The valid trials of a campaign's newest group, each as a case; `objectives` are its own.

    `delays` were fitted to the cases `fitted_on`, if there are any, which `fitted_to` names.
    """

    name: str
    testbed: str
    objectives: tuple[str, ...]
    cases: Mapping[int, CalibrationCase]
    delays: Delays
    fitted_to: str = ""
    fitted_on: tuple[CalibrationCase, ...] = ()


@dataclass(frozen=True)
class Foretold:
    """A metric of all trials: what was measured, and what is simulated for the same points."""

    name: str
    measured: tuple[float, ...]
    simulated: tuple[float, ...]

    @property
    def apart(self) -> tuple[float, ...]:
        """The relative differences."""
        return tuple(map(apart, self.measured, self.simulated))

    @property
    def mean_apart(self) -> float:
        """The mean of their sizes."""
        return sum(map(abs, self.apart)) / len(self.apart)

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's rho; None where there are too few points, or where all are equal."""
        from scipy.stats import spearmanr

        if len(self.measured) < FEWEST or 1 in (len(set(self.measured)), len(set(self.simulated))):
            return None
        return float(spearmanr(self.measured, self.simulated).statistic)


def measured_campaign(results: Results, delays: Delays | None = None) -> MeasuredCampaign:
    """Read a campaign's trials and their jobs; `delays` instead of those of its configuration.

    Raises LedgerError where there is no such campaign, or where none of its trials is valid, and
    ConfigError where its trials were simulated themselves.
    """
    composed, history = begun(results)
    campaign = composed.campaign
    if not campaign.testbed.on_machines:
        raise ConfigError(
            f"the trials of {results.name} are simulated already: there is nothing to compare with",
            resolution="Name a campaign of testbed=virtual-time or testbed=libvirt.",
        )
    workload = results.workload(history.group)
    if workload is None:
        raise LedgerError(f"{results.folder} doesn't keep the jobs that its trials replayed")

    found = [(record, results.trial_jobs(record.number)) for record in _valid(history)]
    cases = {
        record.number: _case(composed, workload, record, jobs)
        for record, jobs in found
        if jobs is not None
    }
    if not cases:
        raise LedgerError(f"no trial of {results.name} is valid: there is nothing to compare")
    settings = campaign.testbed
    of_settings = Delays(**{part.name: getattr(settings, part.name) for part in fields(Delays)})
    return MeasuredCampaign(
        results.name, settings.kind, tuple(campaign.objectives), cases, delays or of_settings
    )


def fitted(measured: MeasuredCampaign, other: MeasuredCampaign) -> MeasuredCampaign:
    """Return the campaign with delays that are fitted to the `other` one's trials.

    Where it is the same, they are fitted to every second of its trials, and the others are left.
    Delays that aren't fitted stay as they are. Raises ConfigError for a single trial.
    """
    if other.name != measured.name:
        cases = tuple(other.cases.values())
        return replace(
            measured, delays=fit(cases, measured.delays), fitted_to=other.name, fitted_on=cases
        )
    numbers = list(measured.cases)
    if len(numbers) < 2:
        raise ConfigError(
            f"{measured.name} has one valid trial: none is left to compare with",
            resolution="Name another campaign of the same cluster: --fit OTHER.",
        )
    cases = tuple(measured.cases[number] for number in numbers[::2])
    return replace(
        measured,
        cases={number: measured.cases[number] for number in numbers[1::2]},
        delays=fit(cases, measured.delays),
        fitted_to=f"its trials {', '.join(map(str, numbers[::2]))}",
        fitted_on=cases,
    )


def foretold(measured: MeasuredCampaign) -> list[Foretold]:
    """Return the campaign's objectives, and the metrics that every comparison shows.

    A metric that not all trials have on both sides is left out.
    """
    each = [differences(case, measured.delays) for case in measured.cases.values()]
    names = dict.fromkeys((*measured.objectives, *SHOWN))
    return [
        Foretold(name, *map(tuple, zip(*(one[name] for one in each), strict=True)))
        for name in names
        if all(name in one for one in each)
    ]


def as_text(measured: MeasuredCampaign) -> str:
    """Return a line per trial and metric, the first decision that differs, and what all say."""
    found = foretold(measured)
    rows = [
        _row(f"trial {number}", one.name, one.measured[at], one.simulated[at], one.apart[at])
        for at, number in enumerate(measured.cases)
        for one in found
    ]
    partings = [
        f"trial {number}: {parting.sentence if parting else 'all starts are alike'}"
        for number, case in measured.cases.items()
        for parting in [parted(case, measured.delays)]
    ]
    return "\n".join(
        [
            f"The trials of {measured.name} ({measured.testbed}), and the same points simulated",
            f"with {overrides(measured.delays)}",
            *([f"fitted to {measured.fitted_to}"] if measured.fitted_on else []),
            "",
            f"{'':<10}{'metric':<24}{'measured':>12}{'simulated':>12}{'apart':>9}",
            *rows,
            "",
            f"over {len(measured.cases)} trials",
            *map(_sentence, found),
            "",
            *_errors(measured),
            "",
            "where the two first part",
            *partings,
            "",
        ]
    )


def as_json(measured: MeasuredCampaign) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "campaign": measured.name,
        "testbed": measured.testbed,
        "delays": asdict(measured.delays),
        "overrides": overrides(measured.delays),
        "fitted_to": measured.fitted_to or None,
        "fitted_on": errors_json(errors(measured.fitted_on, measured.delays))
        if measured.fitted_on
        else None,
        "errors": errors_json(errors(list(measured.cases.values()), measured.delays)),
        "trials": list(measured.cases),
        "metrics": {
            one.name: {
                "measured": one.measured,
                "simulated": one.simulated,
                "mean_apart": one.mean_apart,
                "rank_correlation": one.rank_correlation,
            }
            for one in foretold(measured)
        },
    }


def _errors(measured: MeasuredCampaign) -> Iterator[str]:
    """Yield how wrong the simulation of all trials together is."""
    found = errors(list(measured.cases.values()), measured.delays)
    if measured.fitted_on:
        yield from held_out_lines(errors(measured.fitted_on, measured.delays), found)
        return
    yield "over all trials, with 90 % intervals"
    yield from (f"  {TITLES[one.name]:<38} {one.sentence}" for one in found)


def _valid(history: History) -> list[TrialRecord]:
    return [record for record in history.comparable() if record.valid]


def _case(
    composed: Composed, workload: Workload, record: TrialRecord, jobs: pa.Table
) -> CalibrationCase:
    scheduler = composed.schedulers[composed.space.scheduler(record.point)]
    params = scheduler.Params(**composed.space.params(record.point))
    return CalibrationCase(
        label=f"trial {record.number}",
        workload=workload,
        nodes=Nodes(composed.space.nodes(record.point), composed.campaign.cluster.slots_per_node),
        policy=scheduler.policy(params),
        jobs=jobs,
        tau_s=tau_of(composed.campaign.workload.time_scale),
        lead_s=record.provenance.lead_s,
        clock_s=record.provenance.clock_s,
    )


def _sentence(one: Foretold) -> str:
    rho = one.rank_correlation
    order = "no order to compare" if rho is None else f"rank correlation {rho:.3f} (Spearman)"
    return f"  {one.name:<24} {one.mean_apart:.1%} apart in the mean; {order}"


def _row(label: str, name: str, measured: float, simulated: float, off: float) -> str:
    return f"{label:<10}{name:<24}{measured:>12.3f}{simulated:>12.3f}{off:>+9.1%}"
