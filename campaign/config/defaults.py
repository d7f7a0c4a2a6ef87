"""The defaults that hold when nothing is chosen: those of conf/config.yaml and its groups.

A setting's own default is not always what a campaign gets: the files of `conf/` set some of them.
Help and documents state what holds. The files are merged here, for Hydra takes longer to load than
all the rest of the help.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from campaign.config.groups import CONF
from campaign.schema.model import Campaign
from campaign.schema.settings import SettingRow, row_of, rows, written
from schedulers import registry
from schedulers.base import Params

GLOBAL = "# @package _global_"


def setting_rows() -> Iterator[SettingRow]:
    """Yield the row of each setting, with the default that a campaign without choices has."""
    values = dict(_flat(_composed()))
    for row in rows(Campaign):
        yield replace(row, default=written(values[row.path])) if row.path in values else row


def parameter_rows(scheduler: str) -> Iterator[SettingRow]:
    """Yield the row of each parameter of a scheduler, with what its group sets or searches."""
    group = _content(f"scheduler/{scheduler}.yaml").get("params", {})
    model = registry.adapter(scheduler).Params
    for row in (*rows(model), *_named_rows(model)):
        given = group.get(row.path)
        searched = f"{row.default}; scheduler={scheduler} has {_shown(given)}"
        yield row if given is None else replace(row, default=searched)


def _named_rows(model: type[Params]) -> Iterator[SettingRow]:
    """Yield the rows of parameters that people name by themselves."""
    for prefix, field in model.open.items():
        yield replace(row_of(f"{prefix}NAME", field), default="not there")


def _composed() -> dict[str, Any]:
    """Return the settings of config.yaml and of the options that it chooses, by setting."""
    primary = _content("config.yaml")
    merged: dict[str, Any] = {}
    for choice in primary.pop("defaults"):
        if choice == "_self_":
            _merge(merged, primary)
            continue
        ((group, option),) = choice.items()
        name = f"{group}/{option}.yaml"
        content = _content(name)
        is_global = (CONF / name).read_text().startswith(GLOBAL)
        _merge(merged, content if is_global else {group: content})
    # What is named by people, or stands in tables of its own.
    for free in ("hosts", "objectives", "scheduler"):
        merged.pop(free, None)
    return merged


def _content(name: str) -> dict[str, Any]:
    import yaml

    file = CONF / name
    return dict(yaml.safe_load(file.read_text()) or {}) if file.is_file() else {}


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    """Return a searched value as people write it on a command line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return written(value)
