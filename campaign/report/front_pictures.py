"""Pictures of how a front came about: its hypervolume over trials, and which setting matters."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from campaign.analysis.front.hypervolume import VolumeHistory
from campaign.report import svg
from campaign.report.facts import percent, short
from campaign.report.front_quality import grown
from search.importance import SettingImportance

WIDTH = 720
LEFT = 52
RIGHT = 16
HEAD = 18
FOOT = 40
FIELD = 170
ROW = 20
NAMES = 230
"""Pixels left of the bars, for the names of settings."""
LONGEST = 34
"""Characters of a name that fit there."""
Place = Callable[[float, float], tuple[float, float]]
"""Gives the pixels of a trial's number and a share of the volume."""
_STYLE = (
    "svg.front text{font:12px system-ui,sans-serif;fill:#5b6775}svg.front .ink{fill:#1f2933}"
    "svg.front .grid{stroke:#d9dee4}svg.front .level{stroke:#5b6775;stroke-dasharray:4 3}"
    "svg.front .curve{fill:none;stroke:#0072b2;stroke-width:2}svg.front .share{fill:#0072b2}"
    "svg.front .whisker{stroke:#1f2933;stroke-width:1.5}"
)


def volume_picture(volume: VolumeHistory) -> str:
    """Draw the hypervolume after each trial as a staircase, and that of the baseline alone."""
    last = max(volume.trials[-1], 1)

    def place(trial: float, share: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * trial / last
        return across, HEAD + FIELD * (1 - share)

    parts = [*_grid(last, place(0, 0)[1])]
    if volume.baseline is not None:
        _, level = place(0, volume.baseline)
        parts.append(svg.line(LEFT, level, WIDTH - RIGHT, level, css="level"))
        parts.append(svg.text(WIDTH - RIGHT, level - 4, "the baseline alone", anchor="end"))
    parts.append(svg.polyline(_stairs(volume, place), css="curve"))
    gained, top = place(volume.last_gain, volume.final)
    # On the side where there is room.
    anchor = "end" if gained > WIDTH / 2 else "start"
    parts.append(svg.text(gained, top - 6, f"trial {volume.last_gain}", anchor=anchor, css="ink"))
    title = f"Hypervolume over trials, up to {percent(volume.final)}. {grown(volume)}"
    height = HEAD + FIELD + FOOT
    return svg.document(parts, width=WIDTH, height=height, title=title, css="front", style=_STYLE)


def importance_picture(importances: Mapping[str, Sequence[SettingImportance]]) -> str:
    """Draw each setting's importance as a bar, with its interval; empty where none is known."""
    parts: list[str] = []
    said = []
    top = 0.0
    for objective, ranked in importances.items():
        if ranked:
            parts += _bars(objective, ranked, top)
            top += ROW * (len(ranked) + 1.5)
            shares = ", ".join(f"{short(one.setting)} {percent(one.share)}" for one in ranked)
            said.append(f"{objective}: {shares}")
    if not said:
        return ""
    title = f"Importance of each setting. {'; '.join(said)}."
    return svg.document(parts, width=WIDTH, height=top, title=title, css="front", style=_STYLE)


def _grid(last: int, bottom: float) -> Iterator[str]:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        level = bottom - FIELD * share
        yield svg.line(LEFT, level, WIDTH - RIGHT, level, css="grid")
        yield svg.text(LEFT - 8, level + 4, percent(share), anchor="end")
    yield svg.text(LEFT, bottom + 18, "0", anchor="middle")
    yield svg.text(WIDTH - RIGHT, bottom + 18, str(last), anchor="end")
    yield svg.text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, "trial", anchor="middle")


def _stairs(volume: VolumeHistory, place: Place) -> Iterator[tuple[float, float]]:
    before = 0.0
    for trial, share in zip(volume.trials, volume.volumes, strict=True):
        # Where nothing changes there is no step, and nothing to draw.
        if share != before:
            yield place(trial, before)
            yield place(trial, share)
        before = share
    yield place(volume.trials[-1], before)


def _bars(objective: str, ranked: Sequence[SettingImportance], top: float) -> Iterator[str]:
    yield svg.text(0, top + 14, objective, css="ink")
    span = WIDTH - NAMES - RIGHT - 50
    for row, one in enumerate(ranked, 1):
        level = top + ROW * row
        name = short(one.setting)
        clipped = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        low, high = (NAMES + span * end for end in (one.low, one.high))
        middle = level + ROW / 2
        yield svg.text(NAMES - 8, level + 14, clipped, anchor="end")
        yield svg.rect(NAMES, level + 4, span * one.share, ROW - 8, css="share")
        yield svg.line(low, middle, high, middle, css="whisker")
        right = max(high, NAMES + span * one.share)
        yield svg.text(right + 6, level + 14, percent(one.share), css="ink")
