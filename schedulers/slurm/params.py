"""What a campaign may set of Slurm, under Slurm's own names.

Units and defaults are those of slurm.conf(5).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from campaign.schema.settings import Scalar, choices_of, tunable
from schedulers.base import Params, ParseError
from schedulers.slurm.options import BACKFILLING, RareOptions
from schedulers.slurm.passed_on import PassedOnParams
from schedulers.slurm.shares import RANKING, WEIGHT_MAX, PriorityFlagParams, ShareParams
from schedulers.slurm.spelling import (
    ALL_NORMAL,
    ALLOCATED,
    FLAGS,
    not_zero,
    priority_flags,
    seconds,
    select_parameters,
    whole_minutes,
)

SelectParameters = Annotated[str, AfterValidator(select_parameters)]
Period = Annotated[int, AfterValidator(not_zero)]
IN_MINUTES = ("PriorityMaxAge", "PriorityDecayHalfLife")
SPELLED = {"SelectTypeParameters": select_parameters, "PriorityFlags": priority_flags}
"""Lines whose value is a list of words, and what reads them."""


class CommonParams(Params):
    """Options of SchedulerParameters and lines of slurm.conf that many sites set.

    Those without an effect beside others (`only`) are written all the same: what runs can then be
    compared with what was asked for, whatever the point.
    """

    SchedulerType: Literal["sched/backfill", "sched/builtin"] = tunable(
        "sched/backfill", help="backfill later jobs into gaps, or strictly in order of priority"
    )
    bf_interval: Period = tunable(
        30,
        unit="s",
        ge=-1,
        le=10_800,
        log=True,
        help="time between backfill cycles, -1: none",
        allowed="-1 or [1 .. 10800]",
        examples=[15, 120],
        only=BACKFILLING,
    )
    bf_window: int = tunable(
        1440,
        unit="min",
        ge=1,
        le=43_200,
        log=True,
        help="how far backfill looks ahead",
        only=BACKFILLING,
    )
    bf_resolution: int = tunable(
        60,
        unit="s",
        ge=1,
        le=3600,
        log=True,
        help="granularity of backfill's time slots",
        only=BACKFILLING,
    )
    bf_max_job_test: int = tunable(
        500,
        unit="jobs",
        ge=1,
        le=1_000_000,
        log=True,
        help="jobs tried per backfill cycle",
        only=BACKFILLING,
    )
    bf_max_job_start: int = tunable(
        0,
        unit="jobs",
        ge=0,
        le=10_000,
        help="jobs started per backfill cycle, 0: any",
        only=BACKFILLING,
    )
    bf_continue: bool = tunable(
        False,
        help="go on with the same list of jobs after backfill has yielded its locks",
        only=BACKFILLING,
    )
    default_queue_depth: int = tunable(
        100,
        unit="jobs",
        ge=1,
        le=1_000_000,
        log=True,
        help="jobs tried when an event sets off the main scheduler",
    )
    sched_interval: Period = tunable(
        60,
        unit="s",
        ge=-1,
        le=3600,
        log=True,
        help="time between runs over the whole queue, -1: backfill alone starts jobs",
        allowed="-1 or [1 .. 3600]",
        examples=[15, 120],
    )
    sched_min_interval: int = tunable(
        2,
        unit="us",
        ge=0,
        le=10_000_000,
        help="least time between two runs of the main scheduler",
    )
    batch_sched_delay: int = tunable(
        3, unit="s", ge=0, le=3600, help="how long scheduling of batch jobs may be delayed"
    )
    defer: bool = tunable(False, help="don't try to start each job as it is submitted")
    PriorityType: Literal["priority/multifactor", "priority/basic"] = tunable(
        "priority/multifactor", help="weighted factors, or order of submission"
    )
    PriorityWeightAge: int = tunable(
        0,
        ge=0,
        le=WEIGHT_MAX,
        help="weight of the time spent waiting (0 without slurmdbd)",
        only=RANKING,
    )
    PriorityWeightJobSize: int = tunable(
        0, ge=0, le=WEIGHT_MAX, help="weight of a job's width", only=RANKING
    )
    PriorityWeightPartition: int = tunable(
        0,
        ge=0,
        le=WEIGHT_MAX,
        help="weight of the partition (there is one)",
        only=RANKING,
    )
    PriorityFavorSmall: bool = tunable(
        False,
        help="narrow jobs get the larger size factor, not wide ones",
        only=RANKING,
    )
    PriorityMaxAge: Annotated[int, BeforeValidator(whole_minutes)] = tunable(
        10_080,
        unit="min",
        ge=1,
        le=525_600,
        log=True,
        help="waiting time at which the age factor is full",
        only=RANKING,
    )
    SelectTypeParameters: SelectParameters = tunable(
        "CR_Core",
        help="what is allocated; LLN: least loaded nodes first, Pack_Nodes: fill node after node",
        allowed=f"one of {', '.join(ALLOCATED)}; and any of {', '.join(FLAGS)}",
        examples=["CR_CPU", "CR_Core_Memory", "CR_Core,CR_LLN"],
        only=RANKING,
    )


class SlurmParams(RareOptions, PriorityFlagParams, ShareParams, CommonParams, PassedOnParams):
    """All of Slurm's scheduling parameters."""


OPTIONS = tuple(
    name for name in SlurmParams.model_fields if name[0].islower() or name == "Ignore_NUMA"
)
"""What stands in SchedulerParameters; the other parameters are lines of slurm.conf."""


def scheduler_parameters(params: SlurmParams) -> str:
    """Return the value of slurm.conf's SchedulerParameters, without the flags that are off."""
    values = {name: getattr(params, name) for name in OPTIONS}
    for name, field in RareOptions.model_fields.items():
        if values[name] == field.default:
            del values[name]
    values |= params.options
    return ",".join(
        option_text(name, value) for name, value in values.items() if value is not False
    )


def option_text(name: str, value: Scalar) -> str:
    """Return how an option that isn't off stands in SchedulerParameters."""
    return name if value is True else f"{name}={value}"


def conf_values(params: SlurmParams) -> dict[str, str]:
    """Return the lines of slurm.conf that carry the parameters, by key."""
    lines = {
        name: conf_value(name, getattr(params, name))
        for name in SlurmParams.model_fields
        if name not in OPTIONS
    }
    return {"SchedulerParameters": scheduler_parameters(params)} | lines | params.lines


def conf_value(name: str, value: Scalar) -> str:
    """Return how a parameter's value stands in its line of slurm.conf."""
    if name in IN_MINUTES:
        hours, minutes = divmod(int(value), 60)
        return f"{hours // 24}-{hours % 24:02}:{minutes:02}:00"
    if isinstance(value, bool):
        return "YES" if value else "NO"
    return str(value)


def parse_config(text: str) -> dict[str, Scalar]:
    """Return the parameters of a running controller, from what `scontrol show config` prints.

    Flags that are off are False, and rare options that aren't shown have their default. Under
    priority/basic Slurm shows no other Priority* line, and none is returned; neither is what was
    passed on, which it may show in other words. Raise ParseError for a line that is missing or has
    a value that no parameter of ours has.
    """
    shown = _shown_lines(text)
    options = _shown_options(shown.get("schedulerparameters", ""))
    found: dict[str, Scalar] = {}
    for name, field in SlurmParams.model_fields.items():
        source = options if name in OPTIONS else shown
        value = source.get(name.lower())
        if name == "PriorityFlags" and value is not None and ALL_NORMAL in value:
            continue  # Slurm shows this word for any of those that it stands for
        if value is not None:
            found[name] = _read(name, value)
        elif name in RareOptions.model_fields or (name in OPTIONS and field.annotation is bool):
            found[name] = field.default
        elif not (_is_factor(name) and found.get("PriorityType") == "priority/basic"):
            raise ParseError(
                f"scontrol show config ({name} missing)", shown.get("schedulerparameters", "")
            )
    return found


def _is_factor(name: str) -> bool:
    """Return whether it is a parameter of weighted factors, which Slurm shows under them only."""
    return name.startswith("Priority") or name in ShareParams.model_fields


def _shown_lines(text: str) -> dict[str, str]:
    """Return the `Key = value` lines by lower-case key: Slurm's spelling of its keys varies."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip().lower(): value.strip() for key, value in pairs}


def _shown_options(value: str) -> dict[str, str]:
    pairs = (option.partition("=") for option in value.split(","))
    return {key.lower(): number if separator else "yes" for key, separator, number in pairs}


def _read(name: str, shown: str) -> Scalar:
    field = SlurmParams.model_fields[name]
    for option in choices_of(field):
        if conf_value(name, option).lower() == shown.lower():
            return option
    try:
        if name in IN_MINUTES:
            return seconds(shown) // 60
        return SPELLED[name](shown) if name in SPELLED else int(shown)
    except ValueError:
        raise ParseError(f"scontrol show config ({name})", shown) from None
