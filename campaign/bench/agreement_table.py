"""The distance between simulation and the real scheduler, as a table and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from math import isnan
from statistics import mean, stdev

import pyarrow as pa

from campaign.bench.first_difference import FirstDifference, first_difference
from campaign.bench.held_out import MAKESPAN, MEAN, P95, STARTS, Error, errors, period_s
from campaign.simulation.calibration import CalibrationCase, differences, simulated
from campaign.simulation.engine import Delays

SHOWN = ("awrt_s", "wait_mean_s", "wait_p95_s", "utilisation")
"""The metrics of the table; the JSON has all."""
WIDTH = 60
TITLES = {
    MEAN: "mean wait",
    P95: "95 % wait",
    MAKESPAN: "makespan",
    STARTS: "starts within the scheduler's period",
}
"""The errors over all trials."""


def overrides(delays: Delays) -> str:
    """Return the settings by which a campaign simulates with these delays."""
    return " ".join(f"testbed.{name}={value:g}" for name, value in asdict(delays).items())


def apart(measured: float, simulated: float) -> float:
    """Return the relative difference; 0 where both are 0."""
    return (
        0.0
        if measured == simulated
        else (simulated - measured) / measured
        if measured
        else float("inf")
    )


def parted(case: CalibrationCase, delays: Delays) -> FirstDifference | None:
    """Return where the simulation first decides otherwise; None where it never does.

    Of the moments at which the scheduler's clock may first tick, it is the one with which the two
    agree for longest. Starts are alike that differ by an interval of the scheduler at most.
    """
    tolerance_s = period_s(case.policy)
    found = [first_difference(case.jobs, jobs, tolerance_s) for jobs in simulated(case, delays)]
    if None in found:
        return None
    return max((one for one in found if one), key=lambda one: one.alike)


def as_text(
    fitted_on: Sequence[CalibrationCase], tested_on: Sequence[CalibrationCase], delays: Delays
) -> str:
    """Return a line per point and metric, and what was decided otherwise first; then the means.

    A line has the mean of what was measured, its spread, what was simulated, and the difference.
    """
    lines = [
        "Simulation against the real scheduler; delays fitted on one workload, tested on others",
        f"fitted: {overrides(delays)}",
        "",
        f"{'':<{WIDTH}} {'metric':<12} {'measured':>12} {'spread':>7} {'simulated':>12} "
        f"{'apart':>8}",
    ]
    over_all: dict[str, list[float]] = {name: [] for name in SHOWN}
    for title, cases in (("fitted on", fitted_on), ("tested on", tested_on)):
        for _, same in groupby(cases, key=lambda case: case.workload.hash):
            of_workload = list(same)
            workload = of_workload[0].workload
            jobs = f"{len(workload)} jobs, {workload.hash[:12]}"
            offs, written = _lines(of_workload, delays)
            lines += [f"{title} {workload.name}: {jobs}", *written]
            for name in SHOWN:
                over_all[name] += offs[name] if title == "tested on" else []
    lines.append("mean distance over all points that were tested on")
    lines += [_row("", name, "", "", "", f"{mean(offs):.1%}") for name, offs in over_all.items()]
    lines += ["", *held_out_lines(errors(fitted_on, delays), errors(tested_on, delays))]
    return "\n".join(lines) + "\n"


def held_out_lines(fitted_on: Sequence[Error], tested_on: Sequence[Error]) -> Iterator[str]:
    """Yield how wrong the simulation is where its delays were fitted, and on what it hadn't seen.

    It is how wrong all trials together are; those that are wrong in either direction make up for
    one another.
    """
    yield f"{'over all trials, with 90 % intervals':<40} {'fitted on':<32} held out"
    for fitted, tested in zip(fitted_on, tested_on, strict=True):
        yield f"  {TITLES[fitted.name]:<38} {fitted.sentence:<32} {tested.sentence}"


def as_json(
    fitted_on: Sequence[CalibrationCase], tested_on: Sequence[CalibrationCase], delays: Delays
) -> str:
    """Return all metrics of all trials, measured and simulated, and where the two first part."""
    rows = [
        {
            "workload": f"{title} {case.workload.name}",
            "hash": case.workload.hash,
            "point": case.label,
            "metrics": differences(case, delays),
            "first_difference": asdict(found) if (found := parted(case, delays)) else None,
        }
        for title, cases in (("fitted on", fitted_on), ("tested on", tested_on))
        for case in cases
    ]
    everything = {
        "delays": asdict(delays),
        "overrides": overrides(delays),
        "fitted_on": errors_json(errors(fitted_on, delays)),
        "held_out": errors_json(errors(tested_on, delays)),
        "trials": rows,
    }
    return json.dumps(everything, indent=1)


def errors_json(found: Sequence[Error]) -> dict[str, dict[str, float | None]]:
    """Return each error with the ends of its interval, which are null where it has none."""
    return {
        one.name: {
            end: None if isnan(value) else value
            for end, value in (("value", one.value), ("low", one.low), ("high", one.high))
        }
        for one in found
    }


def as_table(
    fitted_on: Sequence[CalibrationCase], tested_on: Sequence[CalibrationCase]
) -> pa.Table:
    """Return the jobs of all trials (JOBS_SCHEMA), each with workload, point and trial."""
    return pa.concat_tables(
        _named_jobs(number, case) for number, case in enumerate([*fitted_on, *tested_on])
    )


def _named_jobs(number: int, case: CalibrationCase) -> pa.Table:
    names = {"workload": case.workload.hash, "point": case.label, "trial": number}
    jobs = case.jobs
    for place, (name, value) in enumerate(names.items()):
        jobs = jobs.add_column(place, name, pa.array([value] * jobs.num_rows))
    return jobs


def _lines(
    cases: Sequence[CalibrationCase], delays: Delays
) -> tuple[dict[str, list[float]], list[str]]:
    """Return how far the points of one workload are apart by metric, and the lines that say it."""
    offs: dict[str, list[float]] = {name: [] for name in SHOWN}
    lines: list[str] = []
    for label in dict.fromkeys(case.label for case in cases):
        repeated = [case for case in cases if case.label == label]
        lines += _point_lines(repeated, delays, offs)
    lines += [
        _row("mean distance over the points", name, "", "", "", f"{mean(values):.1%}")
        for name, values in offs.items()
    ]
    return offs, lines


def _point_lines(
    repeated: Sequence[CalibrationCase], delays: Delays, offs: dict[str, list[float]]
) -> Iterator[str]:
    found = [differences(case, delays) for case in repeated]
    for name in SHOWN:
        measured = [one[name][0] for one in found]
        # The simulation gives the same for each repetition of a point.
        simulated = found[0][name][1]
        center = mean(measured)
        off = apart(center, simulated)
        offs[name].append(abs(off))
        spread = stdev(measured) / center if len(measured) > 1 else 0.0
        label = repeated[0].label
        yield _row(label, name, f"{center:.3f}", f"{spread:.1%}", f"{simulated:.3f}", f"{off:+.1%}")
    parting = parted(repeated[0], delays)
    yield f"    {parting.sentence if parting else 'all starts are alike'}"


def _row(label: str, metric: str, *values: str) -> str:
    measured, spread, simulated, off = values
    return (
        f"  {label:<{WIDTH - 2}} {metric:<12} {measured:>12} {spread:>7} {simulated:>12} {off:>8}"
    )
