"""`--help`: groups from the folders, settings and tunables from the rows that declare them."""

import argparse
import textwrap
from collections.abc import Iterable, Iterator

from campaign.config.defaults import parameter_rows, setting_rows
from campaign.config.groups import groups
from campaign.schema.settings import SettingRow
from schedulers import registry

NARROWEST = 40
"""On a narrower terminal lines are left to it: a column of text would be no better."""


def text(parser: argparse.ArgumentParser, usage: str, width: int | None = None) -> str:
    """Return the whole help, its tables folded to lines of `width` characters.

    Without a width each row of a table is one line, as programs want it.
    """
    parts = [usage, "\noptions:", *_options(parser), "\ngroups (group=option):", *_groups()]
    parts += ["\nsettings (setting=value):", *_table(setting_rows(), width)]
    for name in registry.names():
        parts.append(f"\nscheduler.params of {name} (all may be searched):")
        parts += _table(parameter_rows(name), width)
    return "\n".join(parts)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.option_strings:
            yield f"  {', '.join(action.option_strings):<16} {action.help}"


def _groups() -> Iterator[str]:
    for group, options in groups().items():
        yield f"  {group:<12} {' | '.join(options)}"


def _table(table: Iterable[SettingRow], width: int | None) -> list[str]:
    shown = list(table)
    first = max(len(row.path) for row in shown) + 4
    lines = [
        f"  {row.path:<{first - 2}}{row.help}  ({row.allowed_with_unit}; default {row.default})"
        for row in shown
    ]
    if width is None or width - first < NARROWEST:
        return lines
    # Names and patterns stay whole: people copy them.
    fold = textwrap.TextWrapper(
        width, subsequent_indent=" " * first, break_on_hyphens=False, break_long_words=False
    )
    return [fold.fill(line) for line in lines]
