"""Turns a site's own settings of a scheduler into a file of the configuration.

The file is an option of the group `scheduler`. It fixes the parameters as the site has them, and
names them as the baseline, so that they remain what others are compared with where they are
searched.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import cast

from campaign.config.baseline import SETTING
from campaign.core.errors import ConfigError
from schedulers import registry
from schedulers.base import Params
from schedulers.interface import Scheduler
from schedulers.site_settings import VERDICTS, ReadsSiteSettings, SiteLine, SiteSettings
from search.space import PARAMS

NAMED = 12
"""Of the lines with which nothing is done, so many names are shown."""
QUIET = ("other", "same")
"""Verdicts of lines that are named only."""


def is_site_file(file: Path) -> bool:
    """Return whether the file has the ending of some scheduler's own configuration."""
    return any(file.suffix == Path(one.site_file).suffix for one in _readers())


def read_site_file(file: Path) -> SiteSettings:
    """Return what a site's own configuration file says; ConfigError where it can't be read."""
    for reader in _readers():
        if file.suffix == Path(reader.site_file).suffix:
            return reader.read_site(file)
    known = ", ".join(reader.site_file for reader in _readers())
    raise ConfigError(f"{file}: no scheduler's configuration", resolution=f"Give a {known}.")


def reader_for(scheduler: Scheduler[Params]) -> ReadsSiteSettings:
    """Return the scheduler as one that knows a site's files; ConfigError where it doesn't."""
    if not hasattr(scheduler, "changed_site"):
        known = ", ".join(cast(Scheduler[Params], one).name for one in _readers())
        raise ConfigError(
            f"{scheduler.name} has no configuration file of a site's that is understood here",
            resolution=f"Choose a trial of {known}.",
        )
    return cast(ReadsSiteSettings, scheduler)


def group_file(settings: SiteSettings, source: Path) -> str:
    """Return the YAML of the option of the group `scheduler` that has these parameters.

    Raises ConfigError where there are none.
    """
    if not settings.params:
        raise ConfigError(
            f"{source}: no line of it is a parameter",
            resolution=f"Give the {settings.scheduler} configuration that the site runs with.",
        )
    lines = [
        "# @package _global_",
        f"# The settings of {settings.scheduler} in {source.name}, which also are the baseline.",
        "scheduler:",
        f"  name: {settings.scheduler}",
        "  params:",
        *(f"    {name}: {json.dumps(value)}" for name, value in settings.params.items()),
        "search:",
        f"  {SETTING.rpartition('.')[2]}:",
        *(f"    {PARAMS}.{name}: {json.dumps(value)}" for name, value in settings.params.items()),
    ]
    return "\n".join(lines) + "\n"


def verdict_lines(settings: SiteSettings) -> Iterator[str]:
    """Yield what was made of each line of the site's files, in words, by verdict."""
    order = list(VERDICTS)
    ranked = sorted(settings.lines, key=lambda one: order.index(one.verdict))
    for verdict, found in groupby(ranked, key=lambda one: one.verdict):
        lines = list(found)
        yield f"{len(lines)} {VERDICTS[verdict]}"
        if verdict in QUIET:
            yield f"  {_names(lines)}"
        else:
            yield from (f"  {_shown(line)}" for line in lines)


def _shown(line: SiteLine) -> str:
    value = f"={line.value}" if line.value else ""
    why = f" ({line.why})" if line.why else ""
    return f"line {line.line}: {line.name}{value}{why}"


def _names(lines: list[SiteLine]) -> str:
    counts = Counter(line.name for line in lines)
    shown = list(counts)[:NAMED]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _readers() -> Iterator[ReadsSiteSettings]:
    for name in registry.names():
        adapter = registry.adapter(name)
        if hasattr(adapter, "read_site"):
            yield cast(ReadsSiteSettings, adapter)
