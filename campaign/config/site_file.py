"""Turns a site's own settings of a scheduler into a file of the configuration.

The file is an option of the group `scheduler`. It fixes the parameters as the site has them, and
names them as the baseline, so that they remain what others are compared with where they are
searched.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import cast

import yaml

from campaign.config.baseline import SETTING
from campaign.config.site_scale import nodes_of, scaled
from campaign.core.errors import ConfigError
from campaign.schema.settings import Scalar
from schedulers import registry
from schedulers.base import Params
from schedulers.interface import Scheduler
from schedulers.site_settings import (
    VERDICTS,
    ReadsSiteSettings,
    SiteCluster,
    SiteFiles,
    SiteLine,
    SiteSettings,
)
from search.space import PARAMS

NAMED = 12
"""Of the lines with which nothing is done, so many names are shown."""
QUIET = ("cluster", "other", "same")
"""Verdicts of lines that are named only."""


def is_site_file(file: Path) -> bool:
    """Return whether the file has the ending of some scheduler's own configuration."""
    return any(file.suffix == Path(one.site_file).suffix for one in _readers())


def read_site_file(file: Path) -> SiteSettings:
    """Return what a site's own configuration file says; ConfigError where it can't be read."""
    return _reader_of(file).read_site(file)


def read_site_cluster(
    files: SiteFiles, *, share: Fraction | None = None, nodes: int | None = None
) -> SiteCluster:
    """Return the cluster that a site's files describe, scaled to a share or a number of its nodes.

    Raises ConfigError where a file can't be read, or nothing is left to scale.
    """
    found = _reader_of(files.conf).read_site_cluster(files)
    if nodes is not None:
        share = Fraction(nodes, max(1, sum(nodes_of(found.model).values())))
    if share is None:
        return found
    model, sentences = scaled(found.model, share)
    return replace(found, model=model, sentences=(*found.sentences, *sentences))


def lines_of(settings: SiteSettings, cluster: SiteCluster | None) -> tuple[SiteLine, ...]:
    """Return what was made of each line; where the cluster was read too, that says it."""
    if cluster is None:
        return settings.lines
    places = {(line.file, line.line, line.name) for line in cluster.lines}
    others = [line for line in settings.lines if (line.file, line.line, line.name) not in places]
    return (*others, *cluster.lines)


def reader_for(scheduler: Scheduler[Params]) -> ReadsSiteSettings:
    """Return the scheduler as one that knows a site's files; ConfigError where it doesn't."""
    if not hasattr(scheduler, "changed_site"):
        known = ", ".join(cast(Scheduler[Params], one).name for one in _readers())
        raise ConfigError(
            f"{scheduler.name} has no configuration file of a site's that is understood here",
            resolution=f"Choose a trial of {known}.",
        )
    return cast(ReadsSiteSettings, scheduler)


def group_file(settings: SiteSettings, source: Path, cluster: SiteCluster | None = None) -> str:
    """Return the YAML of the option of the group `scheduler` with these parameters and cluster.

    Raises ConfigError where there are neither.
    """
    if not settings.params and cluster is None:
        raise ConfigError(
            f"{source}: no line of it is a parameter",
            resolution=f"Give the {settings.scheduler} configuration that the site runs with.",
        )
    lines = [
        "# @package _global_",
        f"# The settings of {settings.scheduler} in {source.name}, which also are the baseline.",
        "scheduler:",
        f"  name: {settings.scheduler}",
    ]
    params = {**settings.params, **(cluster.params if cluster else {})}
    if params:
        lines += ["  params:", *_params(params, "    ")]
        lines += ["search:", f"  {SETTING.rpartition('.')[2]}:"]
        lines += (f"    {PARAMS}.{name}: {json.dumps(value)}" for name, value in params.items())
    text = "\n".join(lines) + "\n"
    return text if cluster is None else text + _cluster_yaml(cluster)


def _params(params: Mapping[str, Scalar], indent: str) -> Iterator[str]:
    """Yield the lines of parameters; those with a dot in their names stand in groups."""
    groups: dict[str, dict[str, Scalar]] = {}
    for name, value in params.items():
        group, dot, below = name.partition(".")
        if dot:
            groups.setdefault(group, {})[below] = value
        else:
            yield f"{indent}{name}: {json.dumps(value)}"
    for group, own in groups.items():
        yield f"{indent}{group}:"
        yield from _params(own, f"{indent}  ")


def _cluster_yaml(cluster: SiteCluster) -> str:
    model = cluster.model.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    for name, group in cluster.model.groups.items():
        model["groups"][name] = {
            "nodes": group.nodes,
            "slots": group.slots,
            **model["groups"][name],
        }
    said = "".join(f"# {sentence}\n" for sentence in cluster.sentences)
    text: str = yaml.safe_dump(
        {"cluster": model}, sort_keys=False, default_flow_style=None, width=120
    )
    return said + text


def verdict_lines(lines: Iterable[SiteLine]) -> Iterator[str]:
    """Yield what was made of each line of the site's files, in words, by verdict."""
    order = list(VERDICTS)
    kept = list(lines)
    several = len({line.file for line in kept}) > 1
    ranked = sorted(kept, key=lambda one: order.index(one.verdict))
    for verdict, found in groupby(ranked, key=lambda one: one.verdict):
        alike = list(found)
        yield f"{len(alike)} {VERDICTS[verdict]}"
        if verdict in QUIET:
            yield from (f"  {line}" for line in _by_reason(alike))
        else:
            yield from (f"  {_shown(line, several)}" for line in alike)


def _shown(line: SiteLine, several: bool) -> str:
    place = f"{line.file.name}, line" if several else "line"
    value = f"={line.value}" if line.value else ""
    why = f" ({line.why})" if line.why else ""
    return f"{place} {line.line}: {line.name}{value}{why}"


def _by_reason(lines: list[SiteLine]) -> Iterator[str]:
    """Yield the names of lines that have a reason in common; those without one come first."""
    for why in sorted({line.why for line in lines}):
        names = _names([line for line in lines if line.why == why])
        yield f"{why}: {names}" if why else names


def _names(lines: list[SiteLine]) -> str:
    counts = Counter(line.name for line in lines)
    shown = list(counts)[:NAMED]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _reader_of(file: Path) -> ReadsSiteSettings:
    for reader in _readers():
        if file.suffix == Path(reader.site_file).suffix:
            return reader
    known = ", ".join(reader.site_file for reader in _readers())
    raise ConfigError(f"{file}: no scheduler's configuration", resolution=f"Give a {known}.")


def _readers() -> Iterator[ReadsSiteSettings]:
    for name in registry.names():
        adapter = registry.adapter(name)
        if hasattr(adapter, "read_site"):
            yield cast(ReadsSiteSettings, adapter)
