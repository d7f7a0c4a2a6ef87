"""The comparison of two trials as one self-contained HTML page, with both schedules drawn."""

from collections.abc import Iterable, Iterator

from campaign.analysis.compare import Comparison
from campaign.report.comparison.text import title
from campaign.report.design import page_style
from campaign.report.facts import in_virtual_time, simulated
from campaign.report.gantt import chartable, gantt_svg
from campaign.report.labels import begun, label_of
from campaign.report.pages import templates
from campaign.report.sections import Section, Table


def page(found: Comparison, written: Iterable[Section]) -> str:
    """Return the page as text: the sections, and a Gantt chart of each arm that can be drawn.

    All foreign text is escaped.
    """
    from markupsafe import Markup

    environment = templates()
    environment.filters |= {"begun": begun, "label": label_of}
    environment.tests["table"] = lambda part: isinstance(part, Table)
    return environment.get_template("comparison/page.html.j2").render(
        style=Markup(page_style()),  # noqa: S704  ours
        title=title(found),
        names=[arm.name for arm in found.arms],
        simulated=simulated([arm.record for arm in found.arms]),
        virtual=in_virtual_time([arm.record for arm in found.arms]),
        sections=list(written),
        charts=[Markup(chart) for chart in _charts(found)],  # noqa: S704  escaped by gantt
    )


def _charts(found: Comparison) -> Iterator[str]:
    for arm in found.arms:
        if chartable(arm.jobs):
            yield gantt_svg(
                arm.jobs, slots_per_node=arm.slots_per_node, title=arm.name, alone=False
            )
