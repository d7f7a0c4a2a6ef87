"""The tracker of a campaign that has begun, made from its settings and its record."""

from collections.abc import Mapping

from campaign.config.compose import Composed
from campaign.core.files import user_path
from campaign.records.history import History
from campaign.records.results import Results
from campaign.schema.settings import Scalar
from campaign.tracking.mlflow_tracker import Tracker
from campaign.tracking.tracked import TrackedCampaign, TrackedWorkload
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import ARMS, PARAMS, Space


def tracker_for(
    composed: Composed,
    config: str,
    fixed: Mapping[str, Scalar],
    results: Results,
    history: History,
) -> Tracker:
    """Return the tracker of a begun campaign.

    `config` is its configuration as text; `fixed` are all parameters that no trial varies, by
    dotted setting, those at their defaults too.
    """
    campaign = composed.campaign
    return Tracker(
        user_path(campaign.output.mlruns),
        campaign.name,
        config,
        fixed=fixed,
        manifests=results.manifests(),
        identity=history.identity,
        testbed=campaign.testbed.kind,
        wanted=TrackedCampaign(
            campaign.objectives,
            campaign.search.constraints,
            tuple(composed.space.dimensions),
            _workload_of(results, history),
            history.head["time"] if history.head else None,
        ),
    )


def _workload_of(results: Results, history: History) -> TrackedWorkload | None:
    group = history.group
    workload = results.workload(group)
    if workload is None:
        return None
    path = results.workload_path(group.number).resolve()
    return TrackedWorkload(workload.name, workload.hash, len(workload), path)


def parameters_of(schedulers: Mapping[str, Scheduler[Params]], space: Space) -> dict[str, Scalar]:
    """Return every parameter that no trial of `space` varies, by dotted setting.

    Those that the campaign doesn't set have their scheduler's defaults.
    """
    defaults = {
        f"{ARMS}.{name}.{key}" if space.has_arms else f"{PARAMS}.{key}": value
        for name, scheduler in schedulers.items()
        for key, value in scheduler.Params().model_dump().items()
    }
    return defaults | dict(space.fixed)
