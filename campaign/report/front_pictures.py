"""Charts of how a front came about: its hypervolume over trials, and which setting matters."""

from collections.abc import Iterator, Mapping, Sequence

from campaign.analysis.front.hypervolume import VolumeHistory
from campaign.report.chart_model import Axis, Chart, Curve, Mark, Points, Share, ShareChart
from campaign.report.facts import percent, short
from campaign.report.front_quality import grown
from campaign.report.labels import begun, label_of
from search.importance import SettingImportance


def volume_chart(volume: VolumeHistory) -> Chart:
    """Return the hypervolume after each trial as a staircase, and that of the baseline alone."""
    gained = Mark(volume.last_gain, 100 * volume.final, f"trial {volume.last_gain}")
    return Chart(
        "hypervolume",
        f"Hypervolume over trials, up to {percent(volume.final)}. {grown(volume)}",
        Axis("Trial", 0, max(volume.trials[-1], 1)),
        Axis("Hypervolume (%)", 0, 105 * max(volume.final, volume.baseline or 0.0)),
        points=(Points("last gain", "chosen", (gained,)),),
        curves=(Curve("hypervolume", "front", tuple(_stairs(volume))),),
        level=None if volume.baseline is None else (100 * volume.baseline, "the baseline alone"),
    )


def importance_chart(
    importances: Mapping[str, Sequence[SettingImportance]],
) -> ShareChart | None:
    """Return each setting's importance as a bar with its interval; None where none is known."""
    known = {label_of(name): ranked for name, ranked in importances.items() if ranked}
    if not known:
        return None
    groups = tuple(
        (begun(name), tuple(_share(one) for one in ranked)) for name, ranked in known.items()
    )
    said = (
        f"{name}: {', '.join(f'{share.name} {percent(share.value)}' for share in shares)}"
        for name, shares in groups
    )
    return ShareChart("importance", f"Importance of each setting. {'; '.join(said)}.", groups)


def _share(one: SettingImportance) -> Share:
    return Share(short(one.setting), one.share, one.low, one.high)


def _stairs(volume: VolumeHistory) -> Iterator[tuple[float, float]]:
    """Yield the corners of the staircase: the trials that raised the volume, and both ends."""
    yield 0.0, 0.0
    before = -1.0
    for trial, share in zip(volume.trials, volume.volumes, strict=True):
        if share != before:
            yield float(trial), 100 * share
        before = share
    yield float(volume.trials[-1]), 100 * before
