"""Figures for papers: as wide as a column, with their type in them, the same each time."""

import re

import pytest

from campaign.report.chart_model import Axis, Chart, Curve, Mark, Points, Share, ShareChart

CHART = Chart(
    "front",
    "one against the other",
    Axis("Wait (h)", 1.0, 1000.0, log=True),
    Axis("Cost in $", 0.0, 10.0),
    points=(
        Points("other $trials", "other", (Mark(5.0, 5.0),)),
        Points(
            "front",
            "front",
            (Mark(2.0, 3.0, "1"), Mark(2.01, 2.99, "2"), Mark(90.0, 1.0, "3")),
            stairs=True,
        ),
        Points("baseline", "baseline", (Mark(500.0, 9.0),)),
    ),
    curves=(Curve("trial 3", "front", ((1.0, 2.0), (10.0, 4.0))),),
    level=(4.0, "the baseline alone"),
    symbols=("slurm", "flux"),
)
SHARES = ShareChart(
    "importance", "which setting", (("Wait", (Share("bf_interval", 0.7, 0.6, 0.8),)),)
)


@pytest.fixture(autouse=True)
def _matplotlib():
    pytest.importorskip("matplotlib")


@pytest.mark.parametrize(("width", "points"), [("column", 252), ("page", 515.52)])
def test_a_figure_is_as_wide_as_papers_want_it_and_holds_its_type(tmp_path, width, points):
    from campaign.report.paper import write_figure

    files = write_figure(CHART, tmp_path, width)
    assert [file.name for file in files] == ["front.svg", "front.pdf"]
    svg, pdf = (file.read_bytes() for file in files)
    assert float(re.search(rb'<svg [^>]*width="([\d.]+)pt"', svg)[1]) == pytest.approx(points, 0.01)
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf


def test_the_same_chart_gives_the_same_files(tmp_path):
    from campaign.report.paper import write_figure

    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    one, other = (write_figure(SHARES, folder) for folder in folders)
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]
