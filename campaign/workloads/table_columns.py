"""Which column of a table is which of a job: the map that a campaign gives, names, and units."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from campaign.core.errors import ConfigError, WorkloadError
from campaign.core.jobs import NAME, TRAITS_SCHEMA, WORKLOAD_SCHEMA

TIME = "time"
DURATION = "duration"
NUMBER = "number"
MEMORY = "memory"
NAMES = "name"
FLAG = "flag"
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
MIB = {"B": 2.0**-20, "KiB": 2.0**-10, "MiB": 1.0, "GiB": 2.0**10, "TiB": 2.0**20}
UNITS = {TIME: SECONDS, DURATION: SECONDS, MEMORY: MIB}
KINDS = {
    "job_id": NUMBER,
    "arrival": TIME,
    "start": TIME,
    "end": TIME,
    "width": NUMBER,
    "runtime": DURATION,
    "requested": DURATION,
    "user": NAMES,
    "state": NAMES,
    "think_s": DURATION,
    "recorded_wait_s": DURATION,
    "memory_per_slot_mib": MEMORY,
    "memory_per_node_mib": MEMORY,
    "exclusive": FLAG,
}
NOT_OF_TABLES = ("after", "after_kind", "user_name", "recorded_state")
KINDS |= {
    field.name: NAMES if field.type == NAME else NUMBER
    for field in TRAITS_SCHEMA
    if field.name not in KINDS and field.name not in NOT_OF_TABLES
}
"""What may be mapped, and what its values are."""
ALIASES = {"arrival_s": "arrival", "runtime_s": "runtime", "requested_s": "requested"}
"""Names of our own jobs table that say the same."""
OF_JOBS_TABLE = {
    **{name: name.removesuffix("_s") for name in WORKLOAD_SCHEMA.names},
    "nodes_requested": "nodes",
    "native_state": "state",
}
"""What the columns of our own jobs table, the Parquet data set of a campaign, are."""


@dataclass(frozen=True)
class Mapped:
    """A column that is read: its name in the table, the kind of its values, their unit."""

    column: str
    kind: str
    factor: float = 1.0


def columns_meant(
    given: Mapping[str, str] | None, names: Iterable[str], file: Path
) -> dict[str, Mapped]:
    """Return the columns of a table with these `names` by what they mean for a job.

    Without a map, columns mean what they are called. An entry of the map may end in `in UNIT`.
    Raises ConfigError for an entry that can't be meant, and WorkloadError where what a job needs is
    missing.
    """
    known = list(names)
    if given is None:
        meant = _by_name(known)
    else:
        meant = {
            ALIASES.get(key, key): _mapped(key, text, known, file) for key, text in given.items()
        }
    for needed in (("arrival",), ("width",), ("runtime", "end")):
        if not any(name in meant for name in needed):
            shown = ", ".join(known[:30])[:300]
            raise WorkloadError(
                f"{file}: no column is known for {' or '.join(needed)}",
                f"columns: {shown}",
                "Say which column is which: workload.columns={job_id: ID, width: CORES, "
                "arrival: SUBMITTED, start: STARTED, end: ENDED, requested: LIMIT}.",
            )
    if "runtime" not in meant and "start" not in meant:
        raise WorkloadError(
            f"{file}: an end without a start gives no run time",
            resolution="Map start too, or runtime.",
        )
    return meant


def _by_name(known: list[str]) -> dict[str, Mapped]:
    if {"intended_ns", "native_id", "arrival_s"} <= set(known):
        meant = {OF_JOBS_TABLE[name]: name for name in known if name in OF_JOBS_TABLE}
    else:
        meant = {ALIASES.get(name, name): name for name in known}
    return {name: Mapped(column, KINDS[name]) for name, column in meant.items() if name in KINDS}


def _mapped(key: str, text: str, known: list[str], file: Path) -> Mapped:
    name = ALIASES.get(key, key)
    where = f"workload.columns.{key}"
    if name not in KINDS:
        raise ConfigError(
            f"{where}: a job has nothing of that name",
            resolution=f"Use some of: {', '.join(KINDS)}.",
        )
    kind = KINDS[name]
    if text in known:
        return Mapped(text, kind)
    column, states_unit, unit = (part.strip() for part in text.rpartition(" in "))
    if states_unit and column in known:
        if unit in UNITS.get(kind, {}):
            return Mapped(column, kind, UNITS[kind][unit])
        allowed = ", ".join(UNITS.get(kind, ())) or "none: it is no amount"
        raise ConfigError(
            f"{where} = {text!r}: {unit!r} is no unit of it", resolution=f"Units: {allowed}."
        )
    raise ConfigError(
        f"{where} = {text!r}: {file} has no such column",
        resolution=f"Its columns: {', '.join(known[:30])[:300]}.",
    )
