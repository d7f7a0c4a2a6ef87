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
    patience: int | None = setting(
        None,
        help="ends the campaign once so many trials in a row have not moved the front; without it, "
        "only search.trials does",
        ge=1,
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
    holdout: int | None = setting(
        None,
        help="workload instances that the search doesn't see, on which its front and the baseline "
        "are run at the end; if not given, 5 in simulation where the workload is drawn, else none",
        ge=0,
        le=1000,
    )
    race_after: int = setting(
        2,
        help="instances (workload.instances) after which a trial that has lost to another on each "
        "of them is run on no more; 0: all trials are run on all",
        ge=0,
        le=1000,
    )
    quantile: float | None = setting(
        None,
        help="value of an objective or constraint over instances: that which so large a share of "
        "them keeps to, for whoever avoids risks; if not given, the mean",
        ge=0.5,
        le=1,
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

    first: list[dict[str, Scalar]] = setting(
        factory=list,
        help="points to try right after the baseline, which has what they leave out; a parameter "
        "may stand by its own short name",
        allowed="list of mappings, such as {cluster.nodes: 4, bf_interval: 60}",
    )
    start_from: list[str] = setting(
        factory=list,
        help="finished campaigns of the same results folder, whose trials become trials of this "
        "one where workload, image and settings agree",
        allowed="name, or list of names",
    )
    ladder: list[Literal["simulation", "virtual-time", "libvirt"]] = setting(
        factory=list,
        help="kinds of testbed, the cheap one first: points are tried in simulation, and those "
        "promoted to testbed.kind that are expected to move its front furthest",
        allowed="[simulation, virtual-time] or [simulation, libvirt]",
    )
    rehearsals: int | None = setting(
        None,
        help="points to try in simulation before they are promoted (search.ladder); if not given, "
        "10 times search.trials, 100 at least",
        ge=2,
        le=100_000,
    )
    arm_trials: int = setting(
        2,
        help="how often each of several schedulers is tried, at its defaults first, before the "
        "sampler chooses freely",
        ge=0,
        le=1000,
    )

    @property
    def held_out(self) -> int:
        """The number of instances that the search doesn't see."""
        return self.holdout or 0

    @field_validator("start_from", mode="before")
    @classmethod
    def _one_or_several(cls, names: Any) -> Any:
        return [names] if isinstance(names, str) else names

    @field_validator("baseline", mode="before")
    @classmethod
    def _by_dotted_setting(cls, baseline: Any) -> Any:
        # search.baseline.cluster.nodes=4 gives a mapping in a mapping.
        return _point_of(baseline, "the baseline")

    @field_validator("first", mode="before")
    @classmethod
    def _each_by_dotted_setting(cls, first: Any) -> Any:
        return [_point_of(one, "a point") for one in first] if isinstance(first, list) else first


def _point_of(values: Any, what: str) -> Any:
    """Return the settings of a point by dotted name; ValueError where one has several values."""
    if not isinstance(values, Mapping):
        return values
    found = dict(_dotted(values))
    for path, value in found.items():
        if not isinstance(value, Scalar):
            raise ValueError(f"{what} has one value of {path}, which {value!r} isn't")
    return found


def _dotted(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


class SamplerSettings(Settings):
    """The sampler that chooses the next point."""

    name: Literal["tpe", "ehvi", "nsga2", "random", "gp", "qmc"] = setting(
        "tpe",
        help="tpe, ehvi (a model of each objective, in turn with TPE), nsga2, random, qmc "
        "(quasi-random), or gp (Gaussian processes, the extra `gp`)",
    )
    startup_trials: int = setting(
        6, help="random points before TPE, EHVI or GP begins to model", ge=1
    )
    population: int = setting(8, help="population of NSGA-II", ge=2)
