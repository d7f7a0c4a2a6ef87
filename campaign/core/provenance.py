"""The facts behind a trial's results: one typed field per fact.

mypy tells a producer of a misspelt fact, in the constructor and in `dataclasses.replace`. Consumers
that use facts by group ask `names_of` and `label_of`, so that no list of facts stands elsewhere.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Literal, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Group(StrEnum):
    """The use of a fact, beside standing in the record."""

    RECORDED = "recorded"  # the fairness manifest lists its values
    MEASURED = "measured"  # the fairness manifest gives its median
    HOST_SPEED = "host speed"  # reports compare hosts by it
    EXPLANATION = "explanation"  # a long text, another one for each trial
    PLAIN = "plain"


@dataclass(frozen=True)
class FactMeaning:
    """A fact's label and unit; `headline` is its name at the top of a report, if it is there."""

    label: str
    unit: str = ""
    group: Group = Group.PLAIN
    headline: str = ""


def _fact(
    label: str, *, unit: str = "", group: Group = Group.PLAIN, headline: str = "", default: Any = ""
) -> Any:
    return field(default=default, metadata={"fact": FactMeaning(label, unit, group, headline)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """The facts behind a trial's results; a text is empty and a number None where it is unknown.

    In ledgers, MLflow tags and JSON it is a mapping of texts without what is unknown: see `facts`.
    """

    testbed: str = _fact("testbed", headline="testbed")
    guest_clock: Literal["virtual", ""] = _fact(
        "clock of the nodes", group=Group.RECORDED, headline="clock"
    )
    instructions_per_s: int | None = _fact(
        "instructions in a second of virtual time", group=Group.RECORDED, default=None
    )
    stand_ins: str = _fact("stand-ins for parts of the scheduler", group=Group.RECORDED)
    virtual_s: float | None = _fact(
        "virtual time from the first submission to the end",
        unit="s",
        group=Group.MEASURED,
        default=None,
    )
    lead_s: float | None = _fact(
        "how long the scheduler had had its settings when the workload began",
        unit="s",
        group=Group.MEASURED,
        default=None,
    )
    clock_s: float | None = _fact(
        "what the scheduler's clock showed when the workload began, since midnight",
        unit="s",
        group=Group.MEASURED,
        default=None,
    )
    virtual_speed: float | None = _fact(
        "virtual seconds for each of CPU time, while jobs ran", group=Group.MEASURED, default=None
    )
    guest_cpu_s: float | None = _fact(
        "CPU time of the emulator", unit="s", group=Group.MEASURED, default=None
    )
    simulated_policy: str = _fact("policy of the simulation", headline="simulated_policy")
    simulated_delays: str = _fact("delays of the simulation")
    ignored_parameters: str = _fact("parameters without effect in the simulation")
    not_simulated: str = _fact(
        "left out of the simulation, and how many jobs it may touch", headline="not simulated"
    )
    scheduler: str = _fact("scheduler", headline="scheduler")
    scheduler_version: str = _fact("version", group=Group.RECORDED, headline="version")
    image_name: str = _fact("image", group=Group.RECORDED)
    image_hash: str = _fact("image hash", group=Group.RECORDED, headline="image")
    image_recipe: str = _fact("image recipe", group=Group.RECORDED)
    image_derivation: str = _fact("Nix derivation of the image")
    image_flake_rev: str = _fact("revision of the image's flake")
    nixpkgs_rev: str = _fact("revision of nixpkgs")
    guest_kernel: str = _fact("kernel of the nodes", group=Group.RECORDED)
    host: str = _fact("hosts", group=Group.RECORDED, headline="host")
    host_name: str = _fact("name of the host's machine")
    kernel: str = _fact("kernel of the host")
    acceleration: str = _fact("how guests run", group=Group.RECORDED, headline="acceleration")
    acceleration_reason: str = _fact("why guests run so")
    qemu: str = _fact("QEMU", group=Group.RECORDED)
    libvirt: str = _fact("libvirt", group=Group.RECORDED)
    host_hash_mib_s: int | None = _fact(
        "SHA-256 on one core", unit="MiB/s", group=Group.HOST_SPEED, default=None
    )
    host_copy_mib_s: int | None = _fact(
        "copying memory", unit="MiB/s", group=Group.HOST_SPEED, default=None
    )
    host_timer_us: int | None = _fact(
        "a sleeper wakes late by (p95)", unit="µs", group=Group.HOST_SPEED, default=None
    )
    workload: str = _fact("workload")
    workload_hash: str = _fact("jobs that were replayed (hash)", group=Group.RECORDED)
    software_version: str = _fact("version of this software", group=Group.RECORDED)
    git_commit: str = _fact("version of this software (commit)", group=Group.RECORDED)
    source_digest: str = _fact("version of this software (hash of its files)", group=Group.RECORDED)
    plan_digest: str = _fact("bootstrap plan (hash)")
    start: Literal["golden", "cold", ""] = _fact("how the cluster began")
    golden_key: str = _fact("golden cluster")
    cold_because: str = _fact("why no golden cluster was used", group=Group.EXPLANATION)
    node_hosts: str = _fact("hosts of the nodes")
    devices: str = _fact("PCI devices that nodes had for themselves")
    head_used_mib: int | None = _fact(
        "memory in use on the head before the workload",
        unit="MiB",
        group=Group.MEASURED,
        default=None,
    )
    node_used_mib: int | None = _fact(
        "memory in use on a compute node before the workload",
        unit="MiB",
        group=Group.MEASURED,
        default=None,
    )
    cpu_pressure_pct: int | None = _fact(
        "CPU pressure of the host while jobs ran", unit="%", group=Group.MEASURED, default=None
    )
    cpu_taken_pct: int | None = _fact(
        "CPU time that nodes wanted and other programs had",
        unit="%",
        group=Group.MEASURED,
        default=None,
    )
    taken_from: str = _fact("trial of another campaign that this one is", group=Group.EXPLANATION)
    other: Mapping[str, str] = field(default_factory=dict)
    """Facts that other versions of this software have written into a ledger; they are shown."""

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """Return the provenance that `facts` gives; ValueError where a number's text is none."""
        known: dict[str, Any] = {}
        other: dict[str, str] = {}
        for name, value in facts.items():
            if name not in _meanings():
                other[name] = str(value)
            elif name in _numbers():
                known[name] = _number(value) if value != "" else None
            else:
                known[name] = str(value)
        return cls(**known, other=other)

    @property
    def facts(self) -> dict[str, str]:
        """Every known fact as text, by name, in the order of the fields."""
        values = {name: getattr(self, name) for name in _meanings()}
        known = {name: str(value) for name, value in values.items() if value not in (None, "")}
        return {**known, **self.other}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # By hand: a ledger of a hundred thousand trials is read in seconds, and keeps its form.
        return core_schema.no_info_plain_validator_function(
            _validated,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda provenance: provenance.facts
            ),
        )


def _validated(value: object) -> Provenance:
    if isinstance(value, Provenance):
        return value
    if isinstance(value, Mapping):
        return _shared(tuple(value.items()))
    raise ValueError("provenance must be a mapping")


@lru_cache(maxsize=1024)
def _shared(facts: tuple[tuple[str, Any], ...]) -> Provenance:
    # Trials of a campaign have much the same provenance: one object serves many records.
    return Provenance.of(dict(facts))


def _number(value: Any) -> int | float:
    try:
        return int(value)
    except ValueError:
        return float(value)


@cache
def _meanings() -> dict[str, FactMeaning]:
    def known(one: Field[Any]) -> bool:
        return "fact" in one.metadata

    return {one.name: one.metadata["fact"] for one in fields(Provenance) if known(one)}


@cache
def _numbers() -> frozenset[str]:
    return frozenset(one.name for one in fields(Provenance) if one.default is None)


def names_of(group: Group) -> tuple[str, ...]:
    """Return the names of a group's facts in the order of the fields."""
    return tuple(name for name, meaning in _meanings().items() if meaning.group == group)


def headline() -> dict[str, str]:
    """Return what stands at the top of a report: its name there, by the fact's name."""
    return {name: meaning.headline for name, meaning in _meanings().items() if meaning.headline}


def label_of(name: str, aside: str = "") -> str:
    """Return a fact's label with its unit; with `aside`, both stand in brackets behind it.

    Raises KeyError if no fact has this name.
    """
    meaning = _meanings()[name]
    if not aside:
        return ", ".join(filter(None, (meaning.label, meaning.unit)))
    return f"{meaning.label} ({', '.join(filter(None, (aside, meaning.unit)))})"
