"""The interactive figures of the report, as plotly divisions without the library itself."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from campaign.core.printable import printable
from campaign.core.trials import TrialRecord
from campaign.report.facts import CampaignFacts, alike, number, schedulers_of, short, shown
from campaign.report.times import phases_of
from search.space import SCHEDULER

# Okabe-Ito: told apart with every kind of colour blindness, and by their lightness in print.
FRONT = "#0072b2"
VALID = "#9aa5b1"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
"""The symbols of schedulers, in their order."""
_FONT = {
    "family": "system-ui, -apple-system, 'Segoe UI', sans-serif",
    "size": 13,
    "color": "#1f2933",
}
CLOUD = "https://cloud.plotly.com/newchart"
"""Where plotly.js uploads a chart by default; no page of ours has it."""
CLOSE = 0.03
"""Labels of points that are nearer than this share of both axes would cover each other."""
NAMED = 12
"""A point under the mouse names at most so many other trials with the same values."""
_CONFIG = {
    # No button that sends a reader's data to the library's maker, and nowhere to send it to.
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["lasso2d", "select2d"],
}

Point = tuple[TrialRecord, Sequence[TrialRecord]]
"""A marker: the first trial with some objectives, and the others whose objectives are the same."""


def pareto(
    records: Sequence[TrialRecord], front: Sequence[TrialRecord], facts: CampaignFacts
) -> str:
    """Draw the first two objectives against each other, the third as colour.

    Trials with equal objectives are one marker, which tells how many there are. A marker under the
    mouse shows its first trial's point.
    """
    import plotly.graph_objects as go

    on_front = {(record.number, record.attempt) for record in front}
    measured = [
        record
        for record in records
        if record.valid and all(m in record.metrics for m in facts.objectives)
    ]
    behind = [record for record in measured if (record.number, record.attempt) not in on_front]
    others = alike(behind, facts.objectives)
    best = alike(front, facts.objectives)
    axes = {
        f"{axis}axis": {"title": title} for axis, title in zip("xy", _titles(facts), strict=False)
    }
    figure = go.Figure(
        layout={**axes, "coloraxis": {"colorscale": "Cividis", "colorbar": _colour_bar(facts)}}
    )
    schedulers = schedulers_of(records)
    figure.add_trace(
        go.Scatter(
            **_points(others, facts, schedulers),
            **_behind(_firsts(others), facts, schedulers),
            name="other valid trials",
        )
    )
    figure.add_trace(
        go.Scatter(
            **_points(best, facts, schedulers),
            **_in_front(best, facts, schedulers),
            name="Pareto front",
        )
    )
    # Traces without points: each gives the legend a line for its scheduler's symbol.
    for name in schedulers:
        symbol = {"size": 9, "color": VALID, "symbol": _symbol(name, schedulers)}
        figure.add_trace(
            go.Scatter(x=[None], y=[None], mode="markers", marker=symbol, name=_escaped(name))
        )
    return _division(figure, "pareto", 460)


def phases(records: Sequence[TrialRecord]) -> str:
    """Draw each trial's time as stacked bars of phases."""
    import plotly.graph_objects as go

    names = [f"{record.number}" for record in records]
    figure = go.Figure()
    for phase in phases_of(records):
        seconds = [record.phases.get(phase, 0.0) for record in records]
        label = phase.label
        hover = f"trial %{{x}}: {label} %{{y:.1f}} s<extra></extra>"
        figure.add_bar(x=names, y=seconds, name=label, marker_color=phase.tone, hovertemplate=hover)
    figure.update_layout(
        barmode="stack", xaxis={"title": "trial", "type": "category"}, yaxis={"title": "seconds"}
    )
    figure.update_layout(legend={"traceorder": "normal"})
    return _division(figure, "phases", 380)


def library() -> str:
    """Return plotly.js, to be put into the page once."""
    from plotly.offline import get_plotlyjs

    # The address would be used by a figure without our configuration.
    return str(get_plotlyjs()).replace(CLOUD, "")


def _firsts(points: Sequence[Point]) -> list[TrialRecord]:
    return [first for first, _ in points]


def _points(
    points: Sequence[Point], facts: CampaignFacts, schedulers: Sequence[str]
) -> dict[str, Any]:
    x, y = list(facts.objectives)[:2]
    return {
        "x": [first.metrics[x] for first, _ in points],
        "y": [first.metrics[y] for first, _ in points],
        "customdata": [
            hover_text(first, facts.objectives) + _same(others, schedulers)
            for first, others in points
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _same(others: Sequence[TrialRecord], schedulers: Sequence[str]) -> str:
    """Return which other trials have the same values, for plotly; empty if none has."""
    if not others:
        return ""
    names = [
        f"{record.number}" + (f" ({record.point.get(SCHEDULER)})" if schedulers else "")
        for record in others[:NAMED]
    ]
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    which = "trial" if len(others) == 1 else "trials"
    return _escaped(f"\nthe same values: {which} {', '.join(names)}{more}").replace("\n", "<br>")


def _labels(points: Sequence[Point], facts: CampaignFacts) -> list[str]:
    """Return a label for each point: its first trial, and of how many trials it is the outcome.

    A point too close to one that has a label gets none, since one would cover the other.
    """
    x, y = list(facts.objectives)[:2]
    places = [(first.metrics[x], first.metrics[y]) for first, _ in points]
    widths = [(max(values) - min(values)) or 1.0 for values in zip(*places, strict=True)]
    taken: list[tuple[float, float]] = []
    labels = []
    for (first, others), place in zip(points, places, strict=True):
        covered = any(
            all(
                abs(one - other) < CLOSE * width
                for one, other, width in zip(place, before, widths, strict=True)
            )
            for before in taken
        )
        count = f" \N{MULTIPLICATION SIGN}{len(others) + 1}" if others else ""
        labels.append("" if covered else f"{first.number}{count}")
        if not covered:
            taken.append(place)
    return labels


def _symbol(scheduler: str, schedulers: Sequence[str]) -> str:
    return SYMBOLS[schedulers.index(scheduler) % len(SYMBOLS)]


def _symbols(records: Sequence[TrialRecord], schedulers: Sequence[str]) -> dict[str, Any]:
    """Return a symbol for each trial by its scheduler, where there are several."""
    names = [str(record.point.get(SCHEDULER)) for record in records]
    return {"symbol": [_symbol(name, schedulers) for name in names]} if schedulers else {}


def _behind(
    records: Sequence[TrialRecord], facts: CampaignFacts, schedulers: Sequence[str]
) -> dict[str, Any]:
    look = {**_colour(records, facts, VALID), **_symbols(records, schedulers)}
    return {"mode": "markers", "marker": {"size": 8, **look}}


def _in_front(
    points: Sequence[Point], facts: CampaignFacts, schedulers: Sequence[str]
) -> dict[str, Any]:
    records = _firsts(points)
    # Points come best first, so in two dimensions a staircase bounds what the front dominates,
    # whatever the directions.
    joined = len(facts.objectives) == 2
    return {
        "mode": "lines+markers+text" if joined else "markers+text",
        "line": {"shape": "hv", "color": FRONT, "width": 1.5, "dash": "dot"},
        "text": _labels(points, facts),
        "textposition": "top right",
        "marker": {
            "size": 13,
            "line": {"width": 1.5, "color": FRONT},
            **_colour(records, facts, FRONT),
            **_symbols(records, schedulers),
        },
    }


def _colour(records: Sequence[TrialRecord], facts: CampaignFacts, plain: str) -> dict[str, Any]:
    third = list(facts.objectives)[2:]
    if not third:
        return {"color": plain}
    return {"color": [record.metrics[third[0]] for record in records], "coloraxis": "coloraxis"}


def _colour_bar(facts: CampaignFacts) -> dict[str, Any]:
    return {"title": {"text": "".join(_titles(facts)[2:]), "side": "right"}, "thickness": 12}


def _titles(facts: CampaignFacts) -> list[str]:
    return [f"{_escaped(name)} ({direction})" for name, direction in facts.objectives.items()]


def hover_text(record: TrialRecord, objectives: Mapping[str, str]) -> str:
    """Return a trial's objectives and point for plotly.

    It reads a little HTML, so values are escaped.
    """
    measured = [
        f"{_escaped(metric)}: <b>{number(record.metrics[metric])}</b>" for metric in objectives
    ]
    point = [
        f"{_escaped(short(name))} = {_escaped(shown(value))}"
        for name, value in record.point.items()
    ]
    return "<br>".join([f"<b>trial {record.number}</b>", *measured, *point])


def _escaped(text: str) -> str:
    # Plotly reads a little HTML.
    return html.escape(printable(text))


def _division(figure: Any, name: str, height: int) -> str:
    figure.update_layout(
        template="plotly_white",
        font=_FONT,
        height=height,
        margin={"l": 60, "r": 16, "t": 48, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left", "bgcolor": "white"},
    )
    return str(figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=_CONFIG))
