"""The live table: what a user sees on terminals of 60 to 200 columns, with and without colours."""

import io
import logging
import re

import pytest

from campaign.core import log
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.execution.live import rate_text
from campaign.execution.progress import Progress
from campaign.execution.terminal import show
from campaign.records.history import Asked

OBJECTIVES = {"awrt_s": "minimize", "node_hours": "minimize"}
VALUES = [(35_000.0, 152.4), (5_233.0, 149.2), (40_000.0, 170.0), None, (6_000.0, 90.0)]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self):
        return True


def point_of(number):
    """Settings with names and values as long as Slurm's."""
    return {
        "cluster.nodes": 64,
        "scheduler.params.SchedulerType": "sched/backfill",
        "scheduler.params.PriorityWeightJobSize": number,
    }


def shown(columns, monkeypatch, *, short=True, environment=None):
    """What a terminal of so many columns is sent by a small campaign."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    with show("auto", stream=stream):
        progress = Progress(len(VALUES), objectives=OBJECTIVES, short=short)
        for number, values in enumerate(VALUES):
            point = point_of(number)
            progress.asked(Asked(number, point, {}, baseline=number == 0))
            progress.started(Trial(number=number, point=point))
            progress.running({number: Status(Phase.WORKLOAD, 0.0, f"{number} of 30")})
            record = TrialRecord(
                number=number,
                point=point,
                attempt=1,
                outcome="ok" if values else "invalid",
                reason="" if values else "submission lag: 30.5 s [bold]\x1b[2J",
                metrics=dict(zip(OBJECTIVES, values or (), strict=False)),
                started=1000.0,
                ended=1000.5,
                baseline=number == 0,
            )
            progress.finished(record, Evaluation(record.outcome), settled=True)
    return stream.getvalue()


def lines_of(sent):
    """The lines that were sent, without what steers the terminal."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", ESCAPES.sub("", sent)) if line.strip()]


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_each_trial_has_its_values_and_says_if_it_moved_the_front(columns, monkeypatch):
    lines = lines_of(shown(columns, monkeypatch))
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    for said in (
        "* 0 awrt_s 35000 node_hours 152.4 baseline nodes=64",
        "* 1 awrt_s 5233 -85 % node_hours 149.2 -2.1 %",
        "s 2 awrt_s 40000 +14 % node_hours 170 +12 %",
        "3 invalid: submission lag: 30.5 s [bold]",
    ):
        assert said in text, text
    # No figure is broken in two.
    assert any(re.search(r"awrt_s +5233 +-85 %", line) for line in lines)


@pytest.mark.parametrize("columns", [60, 200])
def test_below_them_is_what_is_best_so_far(columns, monkeypatch):
    text = " ".join(" ".join(lines_of(shown(columns, monkeypatch))).split())
    assert "awrt_s \u2193 5233 -85 % 1 node_hours \u2193 90 -41 % 4" in text
    assert "5 of 5 trials, 2 points on the front (* moved it), hypervolume 0." in text


def test_a_trial_of_minutes_has_its_point_when_it_starts(monkeypatch):
    lines = lines_of(shown(200, monkeypatch, short=False))
    started = [line for line in lines if "trial 4 starts: nodes=64" in line]
    ended = [line for line in lines if re.search(r"\* +4  awrt_s", line)]
    assert len(started) == 1 and ended and not any("nodes=64" in line for line in ended)
    assert any("trial 4 replaying the workload: 4 of 30" in line for line in lines)


def test_without_colours_nothing_is_coloured(monkeypatch):
    assert "\x1b[1;32m" in shown(80, monkeypatch)
    assert not re.search(
        r"\x1b\[[0-9;]*3[0-9]m", shown(80, monkeypatch, environment={"NO_COLOR": "1"})
    )
    assert "\x1b" not in shown(80, monkeypatch, environment={"TERM": "dumb"})


def test_what_a_trial_says_of_itself_cannot_steer_the_terminal(monkeypatch):
    assert "\x1b[2J" not in shown(80, monkeypatch)


def test_the_table_is_gone_when_the_results_are_printed(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with show("auto", stream=stream):
        with log.step(logging.getLogger("campaign.test"), "judging the front"):
            pass
        logging.getLogger("campaign.test").info("report /x")
        sent = stream.getvalue()
    assert sent.rindex("\x1b[?25h") < sent.index("report /x")


@pytest.mark.parametrize(
    ("per_second", "said"),
    [
        (12.3, "12 trials/s"),
        (1.25, "1.2 trials/s"),
        (0.05, "3.0 trials/min"),
        (0.001, "3.6 trials/h"),
    ],
)
def test_rates_are_said_in_a_unit_that_suits_them(per_second, said):
    assert rate_text(per_second) == said
