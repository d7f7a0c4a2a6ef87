"""Log lines by the Elastic Common Schema: its names, its types, and few fields of our own."""

import io
import json
import logging
from datetime import datetime

from campaign.core import log
from campaign.core.trials import Evaluation, TrialRecord
from campaign.execution.progress import Progress
from campaign.execution.terminal import show

LOGGER = logging.getLogger("campaign.test")
OWN = "hpc_campaign."
KNOWN = {
    *("@timestamp", "log.level", "log.logger", "message", "ecs.version", "service.name"),
    *("event.dataset", "event.action", "event.duration", "process.pid", "host.name"),
    *("error.type", "error.message", "error.stack_trace"),
}


def logged(tell):
    """The lines of what `tell` logs."""
    stream = io.StringIO()
    with show("ecs", stream=stream, verbose=True):
        tell()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_name_is_one_of_the_schema_or_below_our_own():
    def tell():
        with log.context(campaign="demo", host="h1", trial=3), log.span(LOGGER, "joining"):
            LOGGER.warning("slow")
        record = TrialRecord(number=0, point={"a.b": 1}, attempt=1, outcome="ok", metrics={"m": 1})
        Progress(2, objectives={"m": "minimize"}).finished(record, Evaluation("ok"), settled=True)
        try:
            raise OSError("no disk")
        except OSError:
            LOGGER.exception("failed")

    lines = logged(tell)
    names = {name for line in lines for name in line}
    assert {name for name in names if not name.startswith(OWN)} == KNOWN
    begin, slow, end, finished, failed = lines
    assert begin["host.name"] == "h1" and begin["hpc_campaign.campaign"] == "demo"
    assert slow["log.level"] == "warn" and datetime.fromisoformat(slow["@timestamp"]).tzinfo
    assert isinstance(end["event.duration"], int) and end["event.action"] == "end"
    assert (
        finished["event.action"] == "finished" and finished["hpc_campaign.record.outcome"] == "ok"
    )
    assert finished["hpc_campaign.moved_front"] is True
    assert finished["hpc_campaign.progress.done"] == 1
    assert failed["error.type"] == "OSError" and "no disk" in failed["error.stack_trace"]


def test_settings_and_metrics_are_one_field_each_however_many_there_are():
    def tell():
        point = {f"scheduler.params.p{n}": n for n in range(50)}
        LOGGER.info("x", extra={"event": "asked", "data": {"trial": 1, "point": point}})

    (line,) = logged(tell)
    assert json.loads(line["hpc_campaign.point"])["scheduler.params.p49"] == 49
    assert len(line) < 15


def test_secrets_are_masked_here_too():
    log.keep_secret("correct-horse")

    def tell():
        LOGGER.info("x", extra={"data": {"said": "a correct-horse"}})

    assert "correct-horse" not in json.dumps(logged(tell))
