"""Writes a trial's parameters into a site's slurm.conf, and leaves all else in it as it is."""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from campaign.core.errors import ConfigError
from campaign.schema.settings import Scalar
from schedulers.site_settings import SiteChange
from schedulers.slurm.conf_file import ConfPair, content_of, read_conf, spans
from schedulers.slurm.params import OPTIONS, SlurmParams, conf_value, option_text
from schedulers.slurm.passed_on import LINES, PARTITIONS, written
from schedulers.slurm.passed_on import OPTIONS as PASSED_OPTIONS
from schedulers.slurm.site import OPTIONS_LINE, read_site

OPTIONS_KEY = "SchedulerParameters"
UNREADABLE = "\ufffd"  # stands for bytes that are no text


def changed_site(file: Path, params: Mapping[str, Scalar]) -> SiteChange:
    """Return the site's files such that the scheduler has these parameters.

    A parameter that stands in no line has its default. Raises ConfigError where a file can't be
    read, or where a line can't be changed without touching others of the site.
    """
    before = _said(file, params, {})
    wanted = {name: value for name, value in params.items() if not _same(name, value, before[name])}
    values = {
        name.removeprefix(LINES): _line(name, value)
        for name, value in wanted.items()
        if not (_is_option(name) or name.startswith(PARTITIONS))
    }
    if options := {name: value for name, value in wanted.items() if _is_option(name)}:
        values[OPTIONS_KEY] = _options(_last(file, OPTIONS_KEY, {}), options)
    contents: dict[Path, str] = {}
    for key, value in values.items():
        pair = _last(file, key, contents)
        place = pair.file if pair else file
        content = contents.get(place) or _plain(place)
        if pair:
            contents[place] = _replaced(content, pair, value)
        elif value:
            end = "" if content.endswith("\n") or not content else "\n"
            contents[place] = f"{content}{end}{key}={value}\n"
    for name, setting in wanted.items():
        if name.startswith(PARTITIONS):
            _change_partition(file, name, _line(name, setting), contents)
    _check(file, contents, params)
    return SiteChange(
        {name: (_shown(before[name]), value) for name, value in wanted.items()},
        {place: (content_of(place), content) for place, content in contents.items()},
    )


def _said(
    file: Path, names: Iterable[str], contents: Mapping[Path, str]
) -> dict[str, Scalar | None]:
    """Return what the files say of parameters: else the default, or None where there is none."""
    site = read_site(file, contents).params
    found: dict[str, Scalar | None] = {}
    for name in names:
        if field := SlurmParams.model_fields.get(name):
            found[name] = site.get(name, field.default)
        elif name.startswith(LINES):
            pair = _last(file, name.removeprefix(LINES), contents)
            found[name] = pair.value if pair else None
        elif name.startswith(PARTITIONS):
            _, pair = _of_partition(file, name, contents)
            found[name] = pair.value if pair else None
        else:
            own = {one.lower(): value for one, value in site.items()}
            found[name] = own.get(name.lower())
    return found


def _of_partition(
    file: Path, name: str, contents: Mapping[Path, str]
) -> tuple[ConfPair | None, ConfPair | None]:
    """Return the first pair of a partition's line, and that of a key: of the line, or DEFAULT's."""
    partition, _, key = name.removeprefix(PARTITIONS).rpartition(".")
    head: ConfPair | None = None
    found: ConfPair | None = None
    holds = False
    for pair in read_conf(file, contents):
        if pair.first:
            described = pair.key.lower() == "partitionname"
            its = described and pair.value == partition
            holds = its or (described and pair.value.upper() == "DEFAULT" and head is None)
            head = pair if its else head
        if holds and pair.key.lower() == key.lower():
            found = pair
    return head, found


def _change_partition(file: Path, name: str, value: str, contents: dict[Path, str]) -> None:
    """Change a key of a partition's line, or add it; ConfigError where there is no such line."""
    head, pair = _of_partition(file, name, contents)
    if head is None:
        raise ConfigError(
            f"{file}: no line describes the partition of {name}",
            resolution="Give the files that the campaign's settings are from.",
        )
    content = contents.get(head.file) or _plain(head.file)
    if pair and (pair.file, pair.line) == (head.file, head.line):
        contents[head.file] = _replaced(content, pair, value)
    else:
        key = name.rpartition(".")[2]
        contents[head.file] = _replaced(content, head, f"{head.value} {key}={value}")


def _same(name: str, one: Scalar | None, other: Scalar | None) -> bool:
    """Return whether two values of a parameter are written in the same way."""
    if name in SlurmParams.model_fields:
        return one == other
    absent = (None, False) if _is_option(name) else (None,)
    if one in absent or other in absent:
        return one in absent and other in absent
    return _line(name, one).strip('"') == _line(name, other).strip('"')


def _is_option(name: str) -> bool:
    return name in OPTIONS or name.startswith(PASSED_OPTIONS)


def _line(name: str, value: Scalar | None) -> str:
    """Return how a value stands in its line."""
    if name in SlurmParams.model_fields and value is not None:
        return conf_value(name, value)
    return "" if value is None else written(value)


def _shown(value: Scalar | None) -> Scalar:
    return "not there" if value is None else value


def _last(file: Path, key: str, contents: Mapping[Path, str]) -> ConfPair | None:
    found = [pair for pair in read_conf(file, contents) if pair.key.lower() == key.lower()]
    return found[-1] if found else None


def _plain(file: Path) -> str:
    """Return the text of a file that a patch can speak of; ConfigError where it isn't UTF-8."""
    content = content_of(file)
    if UNREADABLE in content:
        raise ConfigError(
            f"{file}: not UTF-8, so that no patch of it can be written",
            resolution="Convert it (iconv), or correct its comments.",
        )
    return content


def _options(pair: ConfPair | None, wanted: Mapping[str, Scalar]) -> str:
    """Return the value of SchedulerParameters with the options that are wanted, others kept."""
    left = dict(wanted)
    parts = []
    for part in filter(None, pair.value.split(",") if pair else ()):
        said = part.partition("=")[0].strip().lower()
        name = next((name for name in wanted if _bare(name).lower() == said), None)
        if name is None:
            parts.append(part)
        elif name in left:
            parts.append(_option(name, left.pop(name)))
    parts += [_option(name, value) for name, value in left.items()]
    return ",".join(filter(None, parts))


def _option(name: str, value: Scalar) -> str:
    # What has its default needs no word.
    field = SlurmParams.model_fields.get(name)
    default = field.default if field else False
    return "" if value == default else option_text(_bare(name), value)


def _bare(name: str) -> str:
    return name.removeprefix(PASSED_OPTIONS)


def _replaced(content: str, pair: ConfPair, value: str) -> str:
    """Return the content with another value of a pair, in its line or in place of it."""
    out = []
    for number, lines in spans(content):
        if number != pair.line:
            out += lines
        elif not value:
            out += [f"# {line}" for line in lines]
        elif len(lines) == 1:
            stands = re.compile(rf'(?<![\w.])({re.escape(pair.key)}\s*=\s*)("[^"]*"|[^\s#]+)')
            out.append(stands.sub(lambda found: f"{found[1]}{value}", lines[0], count=1))
        else:
            out.append(f"{pair.key}={value}")
    return "\n".join(out)


def _check(file: Path, contents: Mapping[Path, str], wanted: Mapping[str, Scalar]) -> None:
    """Raise ConfigError unless the files, read again, say what is wanted and else what they did."""
    ours = {name.rpartition(".")[2].lower() for name in wanted}
    if _others(file, contents, ours) != _others(file, {}, ours):
        raise ConfigError(
            f"{file}: a line with a parameter says other things too, which would be lost",
            resolution=f"Give {OPTIONS_KEY} and the Priority lines a line each.",
        )
    found = _said(file, wanted, contents)
    for name, value in wanted.items():
        if not _same(name, value, found[name]):
            raise ConfigError(
                f"{file}: {name}={value} can't be written into it",
                resolution=f"Give {name} a line of its own, in {file}.",
            )


def _others(
    file: Path, contents: Mapping[Path, str], changed: Collection[str]
) -> list[tuple[str, str]]:
    """Return all pairs that are no parameters, and none of the lines that change."""
    ours = {OPTIONS_LINE, *changed, *(name.lower() for name in SlurmParams.model_fields)}
    pairs = read_conf(file, contents)
    return [(pair.key, pair.value) for pair in pairs if pair.key.lower() not in ours]
