"""The log as a user sees it: plain lines, live, JSON lines or bare, in detail on request."""

import io
import json
import logging

import pytest

from campaign.core import log
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.execution.progress import Progress
from campaign.execution.terminal import show
from campaign.records.history import Asked

LOGGER = logging.getLogger("campaign.test")


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self):
        return True


def tell_all(style, stream, **options):
    """Log a short campaign with text that a terminal library might take for markup."""
    with show(style, stream=stream, **options):
        progress = Progress(2)
        LOGGER.info("building [1, 4] [/usr/bin] [bold]x")
        with log.context(host="local"):
            LOGGER.debug("a detail of %s", "[/it]")
        progress.asked(Asked(0, {"cluster.nodes": 2, "scheduler.params.defer": True}, {}))
        point = {"cluster.nodes": 2, "scheduler.params.defer": True}
        progress.started(Trial(number=0, point=point))
        progress.running({0: Status(Phase.WORKLOAD, 0.0, "[/] 3 of 30")})
        record = TrialRecord(
            number=0,
            point={},
            attempt=1,
            outcome="stalled",
            reason="[/red] node n1",
            started=1000.0,
            ended=1060.0,
        )
        progress.finished(record, Evaluation("stalled"), settled=True)


def test_plain_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    tell_all("auto", stream)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4 and all(line.startswith("[") and " s] " in line for line in lines)
    assert lines[1].endswith(" s] trial 0 starts: nodes=2 defer=True")


def test_bare_lines_are_the_messages():
    stream = io.StringIO()
    tell_all("bare", stream)
    assert stream.getvalue().splitlines()[:2] == [
        "building [1, 4] [/usr/bin] [bold]x",
        "trial 0 starts: nodes=2 defer=True",
    ]


def test_json_lines_parse_and_carry_the_data():
    stream = io.StringIO()
    tell_all("json", stream)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event.get("event") for event in events] == [
        None,
        "asked",
        "started",
        "phase",
        "finished",
    ]
    assert all(event["time"] > 0 and event["message"] for event in events)
    assert events[1]["point"] == {"cluster.nodes": 2, "scheduler.params.defer": True}
    assert events[4]["record"]["outcome"] == "stalled" and events[4]["settled"] is True


def test_live_progress_shows_text_as_it_is():
    stream = Terminal()
    tell_all("auto", stream)
    shown = stream.getvalue()
    assert "[1, 4] [/usr/bin] [bold]x" in shown and "[/red] node n1" in shown


@pytest.mark.parametrize("style", ["plain", "bare", "json", "auto"])
def test_details_are_shown_on_request(style):
    stream = Terminal()
    tell_all(style, stream, verbose=True)
    assert "a detail of [/it]" in stream.getvalue()
    if style != "json":
        assert "(host=local)" in stream.getvalue()
    silent = Terminal()
    tell_all(style, silent)
    assert "a detail" not in silent.getvalue()


def test_a_reader_that_hangs_up_ends_the_command():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError), show("plain", stream=Gone()):
        LOGGER.info("x")


def test_nothing_is_shown_afterwards():
    stream = io.StringIO()
    with show("plain", stream=stream):
        pass
    LOGGER.info("later")
    assert stream.getvalue() == ""
