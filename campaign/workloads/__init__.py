"""Workloads: the jobs that every trial of a campaign replays."""

from campaign.errors import ConfigError
from campaign.jobs import Workload
from campaign.model import WorkloadSettings


def load(settings: WorkloadSettings, *, slots: int) -> Workload:
    """The campaign's jobs. `slots` are those of its smallest cluster: no job is wider, so all clusters run the same.

    Raises ConfigError when settings don't belong together and WorkloadError when a trace can't be read.
    """
    widest = min(slots, settings.max_width or slots)
    if settings.kind == "demo":
        from campaign.workloads.demo import demo

        return demo(settings, slots=slots, widest=widest)
    if settings.path is None:
        raise ConfigError("workload.path: kind=swf needs a file", resolution="Set workload.path to an SWF file.")
    from campaign.workloads.swf import read_swf

    return read_swf(settings, settings.path, widest=widest)
