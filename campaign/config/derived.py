"""Settings that nobody gave and that the kind of testbed decides: room, and limits in time."""

from typing import Any

from campaign.schema.model import Campaign
from campaign.schema.workload import MODELS

HOLDOUT = 5
"""In simulation, a few more instances of a model cost next to nothing."""
VIRTUAL_STALL_S = 3600.0
"""In virtual time, an hour without a start or an end costs seconds."""


def completed(campaign: Campaign) -> Campaign:
    """Return the campaign with what its testbed needs and nobody gave."""
    if not campaign.testbed.deterministic:
        return campaign
    # All of a batch may run at once: each trial keeps one core busy, and the testbed counts cores.
    # So may the replicates of a trial in simulation, where they share nothing.
    together = 1 if campaign.testbed.on_machines else campaign.workload.instances
    parallel = min(campaign.search.batch * together, 1024)
    testbed = _unless_given(campaign.testbed, {"parallel": parallel})
    cluster: dict[str, Any] = {}
    if campaign.testbed.kind == "virtual-time":
        cluster = {"dense": True} | _unless_given(
            campaign.cluster, {"workload_deadline_s": 0.0, "stall_s": VIRTUAL_STALL_S}
        )
    search = {"holdout": held_out(campaign)}
    return campaign.model_copy(
        update={
            "search": campaign.search.model_copy(update=search),
            "cluster": campaign.cluster.model_copy(update=cluster),
            "testbed": campaign.testbed.model_copy(update=testbed),
        }
    )


def held_out(campaign: Campaign) -> int | None:
    """Return how many instances the search doesn't see, given or not."""
    cheap = campaign.testbed.kind == "simulation" and campaign.workload.kind in MODELS
    given = "holdout" in campaign.search.model_fields_set
    return HOLDOUT if cheap and not given else campaign.search.holdout


def _unless_given(settings: Any, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in settings.model_fields_set}
