"""The change by which a site would run as a trial did: a unified diff, and what it is good for."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from campaign.core.trials import TrialRecord
from campaign.report.facts import change, number, shown
from schedulers.site_settings import SiteChange
from search.space import NODES

NO_HELP: Mapping[str, str] = MappingProxyType({})


def site_patch(
    found: SiteChange,
    record: TrialRecord,
    baseline: TrialRecord | None,
    objectives: Iterable[str],
) -> str:
    """Return the patch, with a heading that says which trial it is of and what it changed.

    `patch -p0` takes the text as it is.
    """
    lines = [*effects_of(record, baseline, objectives), *settings_of(found, record)]
    for file, (old, new) in found.contents.items():
        parts = (_lines(old), _lines(new))
        lines += difflib.unified_diff(*parts, str(file), str(file), lineterm="")
    return "\n".join(lines) + "\n"


def _lines(text: str) -> list[str]:
    """Return the lines of a file as a patch has them: a last one without its end says so."""
    *lines, rest = text.split("\n")
    return [*lines, f"{rest}\n\\ No newline at end of file"] if rest else lines


def settings_of(
    found: SiteChange, record: TrialRecord, helps: Mapping[str, str] = NO_HELP
) -> Iterator[str]:
    """Yield a comment for each setting that changes; `helps` says what some of them are."""
    unseen = record.provenance.ignored_parameters.split(", ")
    for name, (before, after) in found.params.items():
        but = " (not simulated: no effect of it was seen)" if name in unseen else ""
        what = f": {helps[name]}" if name in helps else ""
        yield f"# {name}: {shown(before)} -> {shown(after)}{what}{but}"


def effects_of(
    record: TrialRecord, baseline: TrialRecord | None, objectives: Iterable[str]
) -> Iterator[str]:
    """Yield comments that say which trial it is, and what it did to the objectives."""
    how = record.provenance.testbed
    beside = f", beside the baseline, trial {baseline.number}" if baseline else ""
    yield f"# Trial {record.number} ({how}){beside}:"
    nodes = record.point.get(NODES)
    if baseline and nodes != baseline.point.get(NODES):
        yield f"#   on {nodes} nodes, and the baseline on {baseline.point.get(NODES)}"
    for name in objectives:
        changed = change(record, baseline, name)
        before = f"{number(baseline.metrics.get(name))} -> " if baseline else ""
        yield f"#   {name} {before}{number(record.metrics.get(name))}{changed and f' ({changed})'}"
