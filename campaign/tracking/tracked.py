"""What MLflow is told of a campaign beside its trials: what it looks for, and on which jobs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign.schema.model import Direction
from campaign.schema.search import Bound

_DIGEST_CHARACTERS = 36  # MLflow takes no longer one of a data set


@dataclass(frozen=True)
class TrackedWorkload:
    """The jobs that trials replay: their name, hash, number, and the file that holds them."""

    name: str
    hash: str
    jobs: int
    file: Path

    @property
    def dataset(self) -> Any:
        """The workload as a data set that MLflow logs."""
        from mlflow.entities import Dataset, DatasetInput

        source = json.dumps({"uri": str(self.file)})
        profile = json.dumps({"num_rows": self.jobs})
        digest = self.hash[:_DIGEST_CHARACTERS]
        return DatasetInput(Dataset(self.name, digest, "local", source, profile=profile))


@dataclass(frozen=True)
class TrackedCampaign:
    """What a campaign looks for, and on what: how MLflow's pages show its runs follows from it.

    `searched` are the settings that trials vary, by dotted setting; `began` is when the campaign
    did, in Unix seconds (None: with its run in MLflow). `workload` is None where none was kept.
    """

    objectives: Mapping[str, Direction] = field(default_factory=dict)
    constraints: Mapping[str, Bound] = field(default_factory=dict)
    searched: Sequence[str] = ()
    workload: TrackedWorkload | None = None
    began: float | None = None
