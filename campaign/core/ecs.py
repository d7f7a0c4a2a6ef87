"""Log records with the field names of the Elastic Common Schema (ECS), for ELK and its like.

What ECS has no name for is below `hpc_campaign`, as the schema asks of fields of one's own.
"""

import logging
import traceback
from datetime import UTC, datetime
from typing import Any

from campaign.core.log import mask
from campaign.core.printable import json_text
from campaign.core.version import DISTRIBUTION

VERSION = "8.11.0"
"""The version of the schema, https://www.elastic.co/guide/en/ecs/8.11/."""
OWN = "hpc_campaign"
_FIELDS = {
    "campaign": f"{OWN}.campaign",
    "trial": f"{OWN}.trial",
    "phase": f"{OWN}.phase",
    "cluster": f"{OWN}.cluster",
    "host": "host.name",
    "event": "event.action",
    "span": f"{OWN}.span",
}
_LEVELS = {"WARNING": "warn", "CRITICAL": "fatal"}
NS_PER_S = 1_000_000_000


class EcsFormatter(logging.Formatter):
    """One JSON object a record, its keys dotted, as ECS's own loggers write them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line without a newline."""
        line: dict[str, Any] = {
            "@timestamp": _time(record.created),
            "log.level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "message": record.getMessage(),
            "ecs.version": VERSION,
            "service.name": DISTRIBUTION,
            "event.dataset": f"{DISTRIBUTION}.log",
            "log.logger": record.name,
            "process.pid": record.process,
        }
        for name, field in _FIELDS.items():
            if hasattr(record, name):
                line[field] = getattr(record, name)
        if hasattr(record, "duration_s"):
            line["event.duration"] = round(record.duration_s * NS_PER_S)
        line |= _flat(OWN, getattr(record, "data", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["error.type"] = record.exc_info[0].__name__
            line["error.message"] = str(record.exc_info[1])
            line["error.stack_trace"] = "".join(traceback.format_exception(*record.exc_info))
        return mask(json_text(line, default=str))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Return a value of an event by its dotted fields: an index has few of them that way.

    Lists of mappings stay as they are, and what is unknown is left out. A mapping by names of
    settings or metrics is one field: each name would be one in the index.
    """
    if not isinstance(value, dict):
        return {} if value is None else {name: value}
    if name.rpartition(".")[2] in ("point", "metrics", "phases", "absent", "provenance", "changes"):
        return {name: json_text(value, default=str)} if value else {}
    found: dict[str, Any] = {}
    for key, below in value.items():
        found |= _flat(f"{name}.{key}", below)
    return found
