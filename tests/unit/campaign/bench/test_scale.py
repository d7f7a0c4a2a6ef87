"""The benchmark of large simulations: each in a process of its own, beside another checkout's."""

from dataclasses import replace
from pathlib import Path

import pytest

from campaign.bench import scale
from campaign.bench.scale import (
    GROWTH,
    ScaleCase,
    ScaleRow,
    ScaleSample,
    measure,
    scale_cases,
    scale_lines,
)
from campaign.cli.bench import configure, run
from campaign.core.errors import BenchmarkError, UsageError

HERE = Path(__file__).parents[4]
SAMPLE = ScaleSample(cpu_s=2.0, elapsed_s=4.0, peak_mib=300.0, before_mib=200.0, starts="a")
CASE = ScaleCase("conservative", 1000, 64)


@pytest.mark.timeout(600)
def test_two_checkouts_take_turns_on_the_same_jobs() -> None:
    small = ScaleCase("conservative", 30, 16)
    (row,) = measure([small], 2, against=HERE)
    assert len(row.ours) == len(row.theirs) == 2
    assert not row.differs and row.ratio is not None and row.ratio.value > 0
    assert all(one.cpu_s > 0 and one.peak_mib >= one.before_mib > 0 for one in row.ours)


def _broken(folder: Path) -> Path:
    package = folder / "campaign"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('no engine here')\n")
    return folder


def test_a_checkout_that_knows_no_people_is_left_out_of_their_case_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shared = replace(CASE, shares=True)
    assert scale._other(_broken(tmp_path), scale._request(shared, tmp_path), shared) == []
    assert "measured here alone" in caplog.text and "no engine here" in caplog.text


def test_a_checkout_whose_simulation_fails_is_no_result(tmp_path: Path) -> None:
    _broken(tmp_path)
    with pytest.raises(BenchmarkError, match="failed") as failed:
        measure([replace(CASE, jobs=3)], 1, against=tmp_path)
    assert "no engine here" in failed.value.details


def test_a_row_has_speed_memory_and_a_ratio() -> None:
    slower = replace(SAMPLE, cpu_s=20.0)
    lines = list(scale_lines([ScaleRow(CASE, [SAMPLE], [slower]), ScaleRow(CASE, [SAMPLE], [])]))
    assert lines[1].split()[-6:] == ["1,000", "500", "500", "500", "300", "100"]
    assert lines[3:] == [
        f"this engine / the other: {CASE.label}: 10.0 (10.0 .. 10.0); all starts equal"
    ]
    other = ScaleRow(CASE, [SAMPLE], [replace(slower, starts="b")])
    assert "some start at another time" in list(scale_lines([other]))[-1]


def test_growth_ends_where_it_is_told_to() -> None:
    grown = [case.jobs for case in scale_cases("slurm", 1_000_000) if case.grows]
    assert grown == list(GROWTH[:3])


def test_only_a_checkout_is_measured_against(tmp_path: Path) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    configure(parser)
    with pytest.raises(UsageError, match="no checkout"):
        run(parser.parse_args(["simulation", "--against", str(tmp_path)]))
