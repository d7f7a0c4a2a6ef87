"""Settings of the search: how many trials, what they are compared with, and who chooses them."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import field_validator, model_validator

from campaign.schema.settings import Scalar, Settings, setting


class Bound(Settings):
    """A constraint on one metric: points outside are infeasible, not invalid."""

    max: float | None = setting(None, help="highest feasible value")
    min: float | None = setting(None, help="lowest feasible value")
    max_x_baseline: float | None = setting(
        None, help="highest feasible value, as a multiple of the baseline's", ge=0, le=1e6
    )
    min_x_baseline: float | None = setting(
        None, help="lowest feasible value, as a multiple of the baseline's", ge=0, le=1e6
    )

    @model_validator(mode="after")
    def _some(self) -> "Bound":
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError(f"a constraint needs one of {', '.join(type(self).model_fields)}")
        return self


class SearchSettings(Settings):
    """The number of trials, and how the search goes on."""

    trials: int = setting(
        12,
        help="points to evaluate in all; raise it to extend a finished campaign",
        ge=1,
        le=1_000_000,
    )
    batch: int = setting(
        1, help="points asked for at once; testbed.parallel of them run together", ge=1, le=1024
    )
    seed: int = setting(1, help="seed of the sampler", ge=0)
    retries: int = setting(
        1,
        help="further attempts at a trial that failed because of the host, or was invalid",
        ge=0,
        le=10,
    )
    give_up_after: int = setting(
        3, help="attempts that fail in a row before the campaign stops", ge=1
    )
    constraints: dict[str, Bound] = setting(
        factory=dict,
        help="metric: {max: ..} or {min: ..}; of a class of jobs too, such as wait_mean_s"
        "[partition=gpu], and of each class by [partition=*]",
        allowed="metric: {max: .., min: .., max_x_baseline: .., min_x_baseline: ..}",
    )
    metrics: list[str] = setting(
        factory=list,
        help="metrics of classes of jobs that each trial is to have beside those of objectives and "
        "constraints, such as wait_p95_s[qos=*]",
        allowed="list of metrics",
    )
    baseline: dict[str, Scalar] = setting(
        factory=dict,
        help="searched settings of trial 0, with which the others are compared, that differ from "
        "the scheduler's defaults and the largest cluster",
        allowed="setting: value, such as scheduler.params.bf_interval: 60",
    )

    @field_validator("baseline", mode="before")
    @classmethod
    def _by_dotted_setting(cls, baseline: Any) -> Any:
        # search.baseline.cluster.nodes=4 gives a mapping in a mapping.
        if not isinstance(baseline, Mapping):
            return baseline
        values = dict(_dotted(baseline))
        for path, value in values.items():
            if not isinstance(value, Scalar):
                raise ValueError(f"the baseline has one value of {path}, which {value!r} isn't")
        return values


def _dotted(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


class SamplerSettings(Settings):
    """The sampler that chooses the next point."""

    name: Literal["tpe", "nsga2", "random"] = setting("tpe", help="tpe, nsga2 or random")
    startup_trials: int = setting(6, help="random points before TPE begins to model", ge=1)
    population: int = setting(8, help="population of NSGA-II", ge=2)
