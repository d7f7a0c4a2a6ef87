"""Charts as a paper has them: SVG and PDF of a column's width, in its type, told apart in grey.

matplotlib draws them: it embeds the type, as publishers demand, which no SVG of ours can.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from campaign.core.printable import printable
from campaign.report.chart_frame import corners_of
from campaign.report.chart_model import Axis, Chart, Points, ShareChart, Tone
from campaign.report.design import LIGHT

Width = Literal["column", "page"]
WIDTHS: Mapping[Width, float] = {"column": 3.5, "page": 7.16}
"""Inches: the column and the page of two columns of IEEE and ACM."""
FORMATS = ("svg", "pdf")
_HEIGHT = 2.3
_CHARACTER = 0.022
_LINE = 0.06
"""About how wide a character of a label is, and how high, as shares of a column's axes."""
_BAR = 0.16
"""Inches that each bar takes."""
_LOOK = {
    # Times, as papers have it; the other one has signs that it lacks. Both come with matplotlib.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # outlines of TrueType: Type 3 is refused by IEEE and ACM
    "svg.fonttype": "path",
    "svg.hashsalt": "hpc-campaign",
}
_SYMBOLS = ("o", "s", "D", "^", "v", "h")
_SIZES: Mapping[Tone, float] = {"front": 22, "chosen": 26, "other": 7, "baseline": 30}


def write_figure(chart: Chart | ShareChart, folder: Path, width: Width = "column") -> list[Path]:
    """Write a chart into `folder` in each of FORMATS, and return the files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.style import context

    with context(["default", _LOOK]):
        figure = Figure(figsize=(WIDTHS[width], _HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        if isinstance(chart, ShareChart):
            _draw_shares(figure, chart)
        else:
            _draw(figure.add_subplot(), chart)
        files = [folder / f"{chart.name}.{kind}" for kind in FORMATS]
        for file in files:
            # Without a date, the same campaign gives the same file.
            undated = {"Date": None} if file.suffix == ".svg" else {"CreationDate": None}
            figure.savefig(file, metadata={"Title": printable(chart.title), **undated})
    return files


def _draw(axes: Any, chart: Chart) -> None:
    for curve in chart.curves:
        at, values = zip(*corners_of(curve.points), strict=True)
        dashes = (0, (4, 2)) if curve.tone == "baseline" else "solid"
        axes.plot(at, values, color=LIGHT[curve.tone], linestyle=dashes, label=_plain(curve.name))
    if chart.level:
        dashes = (0, (4, 2))
        name = _plain(chart.level[1])
        axes.axhline(chart.level[0], color=LIGHT["baseline"], linestyle=dashes, label=name)
    for series in chart.points:
        _draw_points(axes, series)
    _label(axes, chart)
    for index, name in enumerate(chart.symbols):
        axes.scatter([], [], marker=_symbol(index), color=LIGHT["other"], label=_plain(name))
    _scale(axes.xaxis, axes.set_xscale, axes.set_xlim, chart.x)
    _scale(axes.yaxis, axes.set_yscale, axes.set_ylim, chart.y)
    axes.set_xlabel(_plain(chart.x.label))
    axes.set_ylabel(_plain(chart.y.label))
    axes.grid(visible=True, axis="y", color=LIGHT["line"], linewidth=0.4)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderpad=0)


def _draw_points(axes: Any, series: Points) -> None:
    name = _plain(series.name)
    if series.stairs:
        at = [mark.x for mark in series.marks]
        values = [mark.y for mark in series.marks]
        axes.step(at, values, where="post", color=LIGHT["front"], linestyle=":", linewidth=0.8)
    for mark in series.marks:
        hollow = series.tone == "baseline"
        fill = LIGHT["front" if series.tone == "chosen" else series.tone]
        axes.scatter(
            [mark.x],
            [mark.y],
            s=_SIZES[series.tone],
            marker=_symbol(mark.symbol),
            facecolor="white" if hollow else fill,
            edgecolor=LIGHT["baseline"] if hollow else "none",
            label=name,
            zorder=3,
        )
        tone = LIGHT["baseline" if hollow else "front"]
        look = {"color": tone, "alpha": 0.55, "linewidth": 0.8}
        if mark.across:
            axes.plot(mark.across, (mark.y, mark.y), **look)
        if mark.up:
            axes.plot((mark.x, mark.x), mark.up, **look)
        name = "_nolegend_"  # a series has one entry there


def _label(axes: Any, chart: Chart) -> None:
    """Write the labels of marks, but none that would cover one that is there."""
    taken: list[tuple[float, float, float]] = []
    for mark in (mark for series in chart.points for mark in series.marks):
        x = chart.x.place(mark.x)
        y = chart.y.place(mark.y)
        right = x + _CHARACTER * len(mark.label)
        covered = any(abs(y - up) < _LINE and x < end and at < right for at, end, up in taken)
        if mark.label and not covered:
            taken.append((x, right, y))
            axes.annotate(
                _plain(mark.label), (mark.x, mark.y), (3, 3), textcoords="offset points", fontsize=6
            )


def _draw_shares(figure: Any, chart: ShareChart) -> None:
    bars = sum(len(shares) for _, shares in chart.groups)
    figure.set_figheight(0.45 * len(chart.groups) + _BAR * bars + 0.2)
    heights = [len(shares) + 1 for _, shares in chart.groups]
    grid = figure.add_gridspec(len(chart.groups), height_ratios=heights)
    for row, (heading, shares) in enumerate(chart.groups):
        axes = figure.add_subplot(grid[row])
        names = [_plain(share.name) for share in shares]
        values = [100 * share.value for share in shares]
        ends = [
            [100 * max(0.0, share.value - share.low) for share in shares],
            [100 * max(0.0, share.high - share.value) for share in shares],
        ]
        look = {"elinewidth": 0.8, "capsize": 1.5, "ecolor": LIGHT["ink"]}
        axes.barh(names, values, xerr=ends, color=LIGHT["front"], alpha=0.75, error_kw=look)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_title(_plain(heading), fontsize=8, loc="left")
    axes.set_xlabel("Importance (%)")


def _scale(own: Any, set_scale: Any, set_limits: Any, axis: Axis) -> None:
    from matplotlib.ticker import NullLocator

    if axis.log:
        set_scale("log")
    set_limits(axis.low, axis.high)
    ticks = axis.ticks(6)
    own.set_ticks([value for value, _ in ticks], labels=[label for _, label in ticks])
    own.set_minor_locator(NullLocator())


def _symbol(index: int) -> str:
    return _SYMBOLS[index % len(_SYMBOLS)]


def _plain(text: str) -> str:
    # A pair of dollars would be a formula.
    return printable(text).replace("$", r"\$")
