"""The end of a campaign on terminals of 60 to 200 columns: no figure is broken, nothing is cut."""

import io
import re

import pytest
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from campaign.core.trials import TrialRecord
from campaign.report.narrow import Drawn, Fitted
from campaign.report.text import scatter

OBJECTIVES = {"awrt_s": "minimize", "node_hours": "minimize"}


def table():
    """A front of two points and six settings, as wide as those of Slurm are."""
    found = Table(box=SIMPLE_HEAD, caption="+n: so many others")
    found.add_column("trial", justify="right")
    found.add_column(Text("node_\nhours\n\u2193"), justify="right", overflow="fold")
    for name in ("Scheduler\nType", "Priority\nWeightJob\nSize", *("bf_interval",) * 4):
        found.add_column(Text(name), overflow="fold")
    found.add_row("3 +2", "0.01188\n-28 %", Text("sched/\nbackfill"), "460", *("30",) * 4)
    found.add_row("0\nbaseline", "0.02299", Text("sched/\nbackfill"), "0", *("30",) * 4)
    return found


def printed(what, columns):
    stream = io.StringIO()
    Console(file=stream, width=columns, force_terminal=False).print(what)
    return stream.getvalue()


@pytest.mark.parametrize("columns", [60, 80])
def test_what_does_not_fit_is_a_block_for_each_row(columns):
    lines = printed(Fitted(table()), columns).splitlines()
    assert max(map(len, lines)) <= columns
    assert "node_hours \u2193           0.01188, -28 %" in lines
    assert "SchedulerType          sched/backfill" in lines
    assert "trial                  0, baseline" in lines and "+n: so many others" in lines
    assert sum(line.startswith("bf_interval") for line in lines) == 8


@pytest.mark.parametrize("columns", [120, 200])
def test_what_fits_is_the_table_itself(columns):
    assert printed(Fitted(table()), columns) == printed(table(), columns)


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_scatter_keeps_to_the_columns_that_there_are(columns):
    records = [
        TrialRecord(
            number=number,
            point={},
            attempt=1,
            outcome="ok",
            metrics={"awrt_s": 35_000.0 - 1000 * number, "node_hours": 0.0123 * (number + 1)},
        )
        for number in range(9)
    ]
    lines = printed(
        Drawn(lambda width: scatter(records, records, OBJECTIVES, width)), columns
    ).splitlines()
    assert max(map(len, lines)) <= columns
    assert len(re.findall("o", "".join(line.partition("|")[2] for line in lines))) == 9
    assert len(lines) == 1 + 12 + 3  # the objective's name, the field, the axis: none is wrapped
