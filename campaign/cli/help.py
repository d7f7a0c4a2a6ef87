"""`--help`: groups from the folders, settings and tunables from the rows that declare them."""

import argparse
from collections.abc import Iterable, Iterator

from campaign.config.groups import groups
from campaign.schema.model import Campaign
from campaign.schema.settings import SettingRow, rows
from schedulers import registry


def text(parser: argparse.ArgumentParser, usage: str) -> str:
    """Return the whole help."""
    parts = [usage, "\noptions:", *_options(parser), "\ngroups (group=option):", *_groups()]
    parts += ["\nsettings (setting=value):", *_table(rows(Campaign))]
    for name in registry.names():
        parts.append(f"\nscheduler.params of {name} (all may be searched):")
        parts += _table(rows(registry.adapter(name).Params))
    return "\n".join(parts)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.option_strings:
            yield f"  {', '.join(action.option_strings):<16} {action.help}"


def _groups() -> Iterator[str]:
    for group, options in groups().items():
        yield f"  {group:<12} {' | '.join(options)}"


def _table(table: Iterable[SettingRow]) -> list[str]:
    shown = list(table)
    width = max(len(row.path) for row in shown)
    return [
        f"  {row.path:<{width}}  {row.help}  ({row.allowed_with_unit}; default {row.default})"
        for row in shown
    ]
