"""All charts of a campaign's report, for those who want them apart from the page."""

from campaign.analysis.front.findings import FrontFindings
from campaign.report.chart_model import Chart, ShareChart
from campaign.report.chosen import Jobs, chosen_of, schedule_charts
from campaign.report.front_chart import front_charts
from campaign.report.front_pictures import importance_chart, volume_chart
from campaign.report.labels import measures
from campaign.report.result import CampaignResult


def all_charts(
    result: CampaignResult, jobs: Jobs, quality: FrontFindings
) -> list[Chart | ShareChart]:
    """Return the charts in the order of the page; `jobs` gives a trial's jobs table."""
    found: list[Chart | ShareChart] = [
        *front_charts(result, measures(result.facts.objectives, result.records))
    ]
    if importance := importance_chart(quality.importances):
        found.append(importance)
    if quality.volume:
        found.append(volume_chart(quality.volume))
    return [*found, *schedule_charts(result, chosen_of(result, quality), jobs)]
