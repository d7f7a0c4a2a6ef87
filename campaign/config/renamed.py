"""Settings whose names have changed: the old names go on being read."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

RENAMED = {
    "testbed.first_strike_s": "testbed.cycle_offset_s",
    "testbed.overlap": "testbed.prefetch",
    "testbed.silence_s": "testbed.heartbeat_timeout_s",
}
"""The new name of each setting that once had another, both dotted."""

_log = logging.getLogger(__name__)


def current_name(path: str) -> str:
    """Return the present name of the setting `path`; `path` itself, if it was never renamed."""
    return RENAMED.get(path, path)


def old_names(path: str) -> tuple[str, ...]:
    """Return the names that the setting `path` once had."""
    return tuple(old for old, new in RENAMED.items() if new == path)


def with_current_names(
    values: Mapping[str, Any], *, of: str = "", level: int = logging.WARNING
) -> dict[str, Any]:
    """Return nested settings with the present names, each old one logged once at `level`.

    `of` says what the settings are from, for the log. Where old and new name are both set, the old
    one is left in place: to validate the settings then refuses it.
    """
    found = {key: _copied(value) for key, value in values.items()}
    for old, new in _set_by_old_name(found):
        _put(found, new, _pop(found, old))
        log_renamed(old, of=of, level=level)
    return found


def log_renamed(old: str, *, of: str = "", level: int = logging.WARNING) -> None:
    """Log that the setting with the name `old` has another one now."""
    where = f"{of}: " if of else ""
    _log.log(level, "%s%s is now called %s; the old name still works", where, old, RENAMED[old])


def _set_by_old_name(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for old, new in RENAMED.items():
        if _has(values, old) and not _has(values, new):
            yield old, new


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(below) for key, below in value.items()}
    return value


def _has(values: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _pop(values: dict[str, Any], path: str) -> Any:
    *above, last = path.split(".")
    for part in above:
        values = values[part]
    return values.pop(last)


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for part in above:
        values = values.setdefault(part, {})
    values[last] = value
