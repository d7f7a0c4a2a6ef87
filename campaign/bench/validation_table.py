"""The distance between simulation and measurement, as a table and as JSON: cases in, text out."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import mean, stdev

import pyarrow as pa

from campaign.simulation.calibration import COMPARED, CalibrationCase, differences
from campaign.simulation.engine import Delays

WIDTH = 44


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


def as_text(
    fitted_on: Sequence[CalibrationCase], tested_on: Sequence[CalibrationCase], delays: Delays
) -> str:
    """Return a line per point and compared metric, then the mean over the points.

    A line has the mean of what was measured, its spread, what was simulated, and the difference.
    """
    lines = [
        "Simulation against virtual machines; delays fitted on one workload, tested on another",
        f"fitted: {overrides(delays)}",
        "",
        f"{'':<{WIDTH}} {'metric':<12} {'measured':>10} {'spread':>7} {'simulated':>10} "
        f"{'apart':>8}",
    ]
    for title, cases in (("fitted on", fitted_on), ("tested on", tested_on)):
        lines += _lines(
            f"{title} {cases[0].workload.name}, {cases[0].workload.hash[:12]}", cases, delays
        )
    return "\n".join(lines) + "\n"


def as_json(
    fitted_on: Sequence[CalibrationCase], tested_on: Sequence[CalibrationCase], delays: Delays
) -> str:
    """Return all metrics of all trials, measured and simulated."""
    rows = [
        {"workload": title, "point": case.label, "metrics": differences(case, delays)}
        for title, cases in (("fitted on", fitted_on), ("tested on", tested_on))
        for case in cases
    ]
    return json.dumps({"delays": asdict(delays), "trials": rows}, indent=1)


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


def _lines(title: str, cases: Sequence[CalibrationCase], delays: Delays) -> Iterator[str]:
    yield title
    over_all: dict[str, list[float]] = {name: [] for name in COMPARED}
    for label in dict.fromkeys(case.label for case in cases):
        found = [differences(case, delays) for case in cases if case.label == label]
        for name in COMPARED:
            measured = [one[name][0] for one in found]
            # The simulation gives the same for each repetition of a point.
            simulated = found[0][name][1]
            off = apart(mean(measured), simulated)
            center = mean(measured)
            over_all[name].append(abs(off))
            spread = stdev(measured) / center if len(measured) > 1 else 0.0
            yield _row(
                label, name, f"{center:.3f}", f"{spread:.1%}", f"{simulated:.3f}", f"{off:+.1%}"
            )
    for name, offs in over_all.items():
        yield _row("mean distance over the points", name, "", "", "", f"{mean(offs):.1%}")


def _row(label: str, metric: str, *values: str) -> str:
    measured, spread, simulated, off = values
    return (
        f"  {label:<{WIDTH - 2}} {metric:<12} {measured:>10} {spread:>7} {simulated:>10} {off:>8}"
    )
