"""Settings of the workload: a trace, a model or the built-in demo, and what is done to it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from campaign.schema.settings import Settings, setting

DRAWN_JOBS = 20
TRACES = ("swf", "batsim", "sacct", "table")
MODELS = ("demo", "lublin", "downey", "poisson", "esp")
HAVE_EFFECT: dict[str, tuple[str, ...]] = {
    "path": TRACES,
    "strict": TRACES,
    "obey": TRACES,
    "seed": MODELS,
    "jobs": (*TRACES, *(kind for kind in MODELS if kind != "esp")),
    "duration_s": ("demo",),
    "runtime_s": ("poisson",),
    "users": ("swf", "sacct", "table"),
    "columns": ("table",),
    "time_zone": ("sacct", "table"),
}
"""The kinds for which a setting has an effect; a setting that isn't here has one for all."""


class WorkloadSettings(Settings):
    """The source of the jobs and what is done to them; every trial replays the same ones."""

    kind: Literal[
        "demo", "swf", "batsim", "sacct", "table", "lublin", "downey", "poisson", "esp"
    ] = setting(
        "demo",
        help="swf, batsim, sacct, table: a file; lublin, downey: models of real workloads; esp: "
        "the ESP-2 mix; poisson: a model for teaching; demo: built in, and short",
    )
    path: str | None = setting(
        None,
        help="file of the jobs (kind=swf, batsim, sacct, table); where no kind is chosen, it is "
        "that of the file",
    )
    columns: dict[str, str] | None = setting(
        None,
        help="table: which column is which, as {job_id: ID, arrival: SUBMITTED, width: CORES, "
        "..}; with a unit where it isn't seconds or MiB, as in 'limit in min'",
        allowed="mapping to names of columns",
    )
    time_zone: str | None = setting(
        None,
        help="sacct, table: zone of the clock that times without a zone are by (UTC where it "
        "isn't set)",
        allowed="IANA name, such as Europe/Paris",
    )
    jobs: int | None = setting(
        None,
        help="number of jobs: of a trace the first so many, all where it isn't set; of a model 20 "
        "where it isn't set; esp: always 230",
        unit="jobs",
        ge=1,
        le=10_000_000,
    )
    seed: int = setting(7, help="seed of demo and models", ge=0)
    instances: int = setting(
        1,
        help="workloads on which each trial is evaluated, for values that don't hang on one: of "
        "models as many seeds, from seed up; of a trace as many windows of equal length, one "
        "after the other",
        ge=1,
        le=1000,
    )
    instances_by: Literal["jobs", "phases"] = setting(
        "jobs",
        help="what differs between instances: their jobs; or the phase of the scheduler's clock "
        "that the same jobs meet, since they come later by parts of workload.phase_s",
    )
    phase_s: float = setting(
        60.0,
        help="the time over which phases are spread; the longest of a scheduler's intervals covers "
        "all of them",
        unit="s",
        ge=1,
        le=86_400,
    )
    duration_s: float = setting(
        10.0, help="demo: ideal length of the workload", unit="s", ge=5, le=86_400
    )
    runtime_s: Annotated[list[float], Field(min_length=2, max_length=2)] = setting(
        [60.0, 3600.0],
        help="poisson: shortest and longest run time, uniform between",
        unit="s",
        allowed="[low, high], low > 0",
    )
    strict: bool = setting(
        False, help="refuse trace files that need repairs instead of counting them"
    )
    window_s: Annotated[list[float], Field(min_length=2, max_length=2)] | None = setting(
        None,
        help="keep the jobs that arrive in this window, counted from the first arrival",
        unit="s",
        allowed="[from, to]",
    )
    min_width: int | None = setting(
        None, help="keep jobs of at least this width", unit="slots", ge=1
    )
    min_runtime_s: float | None = setting(
        None, help="keep jobs that run at least so long", unit="s", ge=0
    )
    max_runtime_s: float | None = setting(
        None, help="keep jobs that run at most so long", unit="s", ge=0
    )
    users: list[int] | None = setting(
        None, help="keep these users' jobs", allowed="list of user numbers"
    )
    wide: Literal["cut", "scale", "drop"] = setting(
        "cut",
        help="jobs wider than the smallest cluster (or max_width) are cut to it, or left out; "
        "scale: all widths are scaled from the trace's machine to the smallest cluster",
    )
    machine: int | None = setting(
        None,
        help="slots of the trace's machine (default: as its header says, else its widest job)",
        unit="slots",
        ge=1,
    )
    max_width: int | None = setting(
        None, help="widest job allowed (default: smallest cluster)", unit="slots", ge=1
    )
    time_scale: float = setting(
        1.0, help="multiplies all times, and tau of the bounded slowdown", ge=1e-6, le=1e3
    )
    load: float | None = setting(
        None,
        help="offered load of the smallest cluster, reached by stretching the arrivals",
        unit="fraction",
        ge=0.001,
        le=100,
    )
    obey: list[Literal["nodes", "exclusive", "dependencies", "arrays", "think_time"]] = setting(
        factory=list,
        help="what of the jobs' own wishes schedulers are told beside slots and time limit; what "
        "the cluster has (memory, GPUs, features, partitions, ..) they are told in any case",
        allowed="list of nodes, exclusive, dependencies, arrays, think_time (in simulation)",
    )
    unknown: Literal["map", "refuse"] = setting(
        "map",
        help="jobs that name a partition, account, quality of service, reservation or user that "
        "the cluster doesn't have: they get the default one, counted, or are refused",
    )
    payload: Literal["sleep", "burn"] = setting(
        "sleep",
        help="what jobs do on VMs: sleep, or burn CPU time with stress-ng (image.name=slurm-burn)",
    )

    @property
    def drawn_jobs(self) -> int:
        """The number of jobs that a model draws."""
        return DRAWN_JOBS if self.jobs is None else self.jobs

    @field_validator("window_s")
    @classmethod
    def _in_order(cls, ends: list[float] | None) -> list[float] | None:
        if ends is not None and not 0 <= ends[0] < ends[1]:
            raise ValueError("the ends must be in order, from 0 up")
        return ends

    @field_validator("runtime_s")
    @classmethod
    def _above_zero(cls, ends: list[float]) -> list[float]:
        if not 0 < ends[0] <= ends[1]:
            raise ValueError("the ends must be in order, above 0")
        return ends
