"""Text of others, wherever it is shown: it reads as text and steers nothing."""

import ast
import io
import json
import logging
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from campaign import cli
from campaign.cli import output
from campaign.cli.failures import message
from campaign.core.errors import InfrastructureError
from campaign.core.printable import json_text, printable
from campaign.execution.terminal import show
from campaign.report import svg
from campaign.report.facts import CampaignFacts
from campaign.report.gantt import gantt_svg
from campaign.report.page import render
from campaign.report.result import CampaignResult
from campaign.report.text import text_front
from campaign.tracking.run_values import parameters, tags_of
from tests.parsing import undisturbed_parsing
from tests.samples import OBJECTIVES, jobs_table, sample

EVIL = (
    "\x1b]52;c;aGk=\x07"  # fills the clipboard
    "\x1b]0;title\x1b\\"  # names the window
    "\x9b2J\x85"  # controls of one byte
    "\u202egpj.exe\u2066"  # overrides of directions
    "\udc80\ud800"  # halves of characters: file names in another encoding
    "\x00\x7f\r\u2028\U000e0041"
    "[bold]x[/red]"  # rich's markup
)
HARMLESS = "\n\t"
LOGGER = logging.getLogger("campaign.test")


def harmless(text):
    """Whether a terminal, a page or a file takes `text` as nothing but text."""
    text.encode()
    return all(one.isprintable() or one in HARMLESS or one in "\u00a0\u2009" for one in text)


def test_what_is_hidden_stands_as_its_escape():
    assert printable("a\x1b[31m\u202e\udc80\U000e0041") == "a\\x1b[31m\\u202e\\udc80\\U000e0041"
    assert printable("two\nlines\t") == "two\nlines\t"
    assert printable("two\nlines\t", lines=False) == "two\\nlines\\t"
    assert printable("größer als 3\u00a0s, 日本, 🎉") == "größer als 3\u00a0s, 日本, 🎉"


@given(st.text(st.characters(codec=None)))
def test_all_text_becomes_harmless_and_stays_so(text):
    for lines in (True, False):
        shown = printable(text, lines=lines)
        shown.encode()
        assert printable(shown, lines=lines) == shown
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e]", shown)
        assert lines or len(shown.splitlines()) <= 1


@given(st.text(st.characters(codec=None)))
def test_json_keeps_the_text_and_escapes_it(text):
    written = json_text({text: [text]}, indent=1)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e]", written)
    assert json.loads(written) == json.loads(json.dumps({text: [text]}))


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("style", ["plain", "bare", "json"])
def test_the_log_on_a_stream(style):
    stream = io.StringIO()
    with show(style, stream=stream, verbose=True):
        LOGGER.info("trial 0: %s", EVIL)
        LOGGER.debug("a reason: %s", EVIL)
        try:
            raise ValueError(EVIL)
        except ValueError:
            LOGGER.debug("failed", exc_info=True)
    assert harmless(stream.getvalue())
    assert "x1b" in stream.getvalue() or "u001b" in stream.getvalue()


def test_the_log_on_a_live_terminal():
    stream = Screen()
    with show("auto", stream=stream):
        LOGGER.info("trial 0: %s", EVIL)
    shown = stream.getvalue()
    # Rich's own sequences set colours and the cursor.
    ours = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert harmless(ours.replace("\r", "")) and "\x1b]" not in shown
    assert "[bold]x[/red]" in ours.replace("\n", "")


def test_the_message_of_an_error():
    said = message(InfrastructureError(EVIL, f"first\n{EVIL}", EVIL))
    assert harmless(said) and "\\x1b]52" in said and "  | first\n" in said


def test_the_traceback_of_a_bug():
    script = (
        "from campaign.cli.failures import guarded\n"
        "@guarded\n"
        "def main(arguments): raise ValueError('\\x1b]0;title\\x07')\n"
        "main([])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 1 and b"\x1b" not in done.stderr
    assert done.stderr.startswith(b"Traceback") and b"\\x1b]0;title" in done.stderr


def test_what_commands_print(capsys):
    output.say(f"removed {EVIL}")
    output.say(output.table(["name", "state"], [[f"{EVIL}\nb", "x"], ["a", "y"]]))
    output.print_json({"reason": EVIL})
    said = capsys.readouterr().out
    assert harmless(said) and len(said.splitlines()) == 1 + 3 + 3


def test_commands_print_by_that_function_alone():
    folder = Path(cli.__file__).parent
    # These print our own words, or the user's own configuration as it is.
    own = {"output.py", "failures.py", "parser.py", "completion.py", "search.py"}
    with undisturbed_parsing():
        printing = {
            path.name
            for path in folder.glob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if node.func.id == "print"
        }
    assert printing <= own


def evil_records():
    point = {"cluster.nodes": 2, f"scheduler.params.{EVIL}": EVIL, "scheduler.name": EVIL}
    changes = {"reason": EVIL, "host": EVIL, "provenance": {"scheduler_version": EVIL}}
    return [
        sample(number, point={**point, "cluster.nodes": number + 1}, **changes).record
        for number in range(3)
    ]


FACTS = CampaignFacts(
    "demo", OBJECTIVES, slots_per_node=4, workload={"name": EVIL, EVIL: EVIL}, command=EVIL
)


def test_the_front_on_a_terminal():
    screen = io.StringIO()
    console = Console(file=screen, width=400, force_terminal=False, color_system=None)
    console.print(text_front(CampaignResult.of(evil_records(), FACTS)))
    assert harmless(screen.getvalue())
    assert "[bold]x[/red]" in re.sub(r"\s", "", screen.getvalue())


def test_the_report_page():
    jobs = jobs_table()
    page = render(CampaignResult.of(evil_records(), FACTS), lambda number: jobs)
    assert harmless(page.replace("\u200b", ""))
    page.encode()


def test_pictures_are_xml_and_harmless():
    for picture in (
        gantt_svg(jobs_table(), title=EVIL),
        svg.document(
            [svg.text(0, 0, EVIL, css=EVIL), svg.rect(0, 0, 1, 1, tip=EVIL)],
            width=1,
            height=1,
            title=EVIL,
        ),
    ):
        assert harmless(picture)
        ET.fromstring(picture)


def test_what_mlflow_is_told():
    record = evil_records()[0]
    for name, value in {**tags_of(record), **parameters({**record.point, EVIL: EVIL})}.items():
        assert harmless(name) and harmless(value)
