"""What evaluating one trial needs to know beside what its cluster is made by."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from campaign.core.jobs import Workload
from campaign.core.provenance import Provenance
from campaign.core.trials import Trial
from campaign.schema.model import ValiditySettings
from campaign.schema.settings import Scalar


@dataclass(frozen=True)
class TrialSpec:
    """Everything that evaluating a trial needs to know beside its cluster's spec.

    `provenance` is the driver's part of the trial's; `prefetch` says when the next trial's cluster
    may be made ready (see testbed.prefetch), and is "none" when no trial is expected to follow.
    """

    trial: Trial
    scheduler: str
    nodes: int
    params: Mapping[str, Scalar]
    validity: ValiditySettings
    workload: Workload
    provenance: Provenance = field(default_factory=Provenance)
    prefetch: str = "none"
