"""A campaign on a terminal: a line per trial, and below them what is best so far, live."""

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from campaign.core.durations import duration_text
from campaign.core.log import PHASE
from campaign.core.printable import printable
from campaign.execution.progress import point_text
from campaign.report.facts import number

REFRESHES_PER_S = 8
MOVED = "*"
"""Stands before a trial that moved the front; it is green where there are colours."""
ARROWS = {"minimize": "\u2193", "maximize": "\u2191"}  # where better is
TIME_WIDTH = 10
"""The columns that the time on the left takes, with what is around it."""
ALIGNED_FROM = 100
"""Where there are so many columns for a trial, its values stand in columns."""
VALUE_WIDTH = 9
CHANGE_WIDTH = 7
SHORTEST_POINT = 12
"""A point that would have less room than this is left out."""
MOST_RUNNING = 4
"""So many running trials have a line of their own."""
MINUTE = 60.0
HOUR = 3600.0


class LiveHandler(logging.Handler):
    """Prints records above a table that it keeps up to date; phases replace one another below it.

    The table is made of what `Progress` says in the `data` of its records.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._console = Console(file=stream, highlight=False)
        self._began = time.monotonic()
        self._panel = _Panel()
        self._live = Live(
            self._panel,
            console=self._console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
            redirect_stdout=False,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Show the record, its text as it is: brackets in it are no markup."""
        data: Mapping[str, Any] = getattr(record, "data", {})
        event = getattr(record, "event", "")
        if event == PHASE:
            self._panel.doing[data.get("trial")] = (self.format(record), time.monotonic())
            self._live.start(refresh=True)
            self._live.refresh()
            return
        self._panel.doing.pop(None, None)
        if event == "finished":
            self._panel.doing.pop(data["trial"], None)
            self._panel.so_far = data["progress"]
            self._live.start()
        elif not event:
            # What follows may be printed past us, such as the front: no table may be in its way.
            self._live.stop()
        self._console.print(_with_time(time.monotonic() - self._began, self._said(record)))

    def close(self) -> None:
        """Give the terminal its cursor back, also after a run that ended in mid-phase."""
        self._live.stop()
        super().close()

    def _said(self, record: logging.LogRecord) -> Text:
        if getattr(record, "event", "") == "finished":
            return trial_line(record.__dict__["data"], self._console.width - TIME_WIDTH)
        text = Text.from_markup(escape(self.format(record)))
        if record.levelno >= logging.WARNING:
            text.stylize("yellow")
        return text


def trial_line(data: Mapping[str, Any], width: int) -> Text:
    """Return what a trial came to: mark, number, values with changes, or why it has none.

    A short trial has no other line, so its point follows: whole where it moved the front, else cut
    to `width`.
    """
    record = data["record"]
    moved = data["moved_front"]
    line = Text(MOVED if moved else " ", style="bold green" if moved else "")
    line.append(f"{record['number']:>4}", style="bold" if moved else "")
    for name, found in data["changes"].items():
        wide = width >= ALIGNED_FROM
        value = number(found["value"])
        line.append(f"  {printable(name)} ", style="dim")
        line.append(value.rjust(VALUE_WIDTH) if wide else value, style="green" if moved else "")
        line.append(f" {found['change']:>{CHANGE_WIDTH if wide else 0}}".rstrip(" ") or "")
        if wide and not found["change"]:
            line.append(" " * (CHANGE_WIDTH + 1))
    if record["baseline"]:
        line.append("  baseline", style="bold")
    if not data["changes"] or data["ruled_out"]:
        line.append(f"  {_why(data)}", style="yellow")
    room = width - line.cell_len
    if data["short"] and (moved or room >= SHORTEST_POINT):
        point = Text(f"  {printable(point_text(record['point']), lines=False)}", style="dim")
        if not moved:
            point.truncate(room, overflow="ellipsis")
        line.append_text(point)
    return line


def _why(data: Mapping[str, Any]) -> str:
    """Return why a trial has no values, or none on all instances, in one line."""
    record = data["record"]
    reason = next(iter(str(record["reason"]).splitlines()), "")
    said = f"{record['outcome']}: {reason}" if reason else str(record["outcome"])
    again = "" if data["settled"] else "; another attempt follows"
    return printable(data["ruled_out"] or f"{said}{again}", lines=False)


def _with_time(seconds: float, text: Text) -> RenderableType:
    """Return a text with its time on the left; what needs more lines goes on below itself."""
    row = Table.grid(padding=(0, 1))
    row.add_column(justify="right", no_wrap=True, min_width=7, style="dim")
    row.add_column(overflow="fold")
    row.add_row(_clock(seconds), text)
    return row


def _clock(seconds: float) -> str:
    if seconds < 10 * MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.1f} min"
    return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE):02}"


class _Panel:
    """What stands below the lines: the best values, how far the campaign is, what goes on now."""

    def __init__(self) -> None:
        self.so_far: Mapping[str, Any] = {}
        self.doing: dict[object, tuple[str, float]] = {}
        self._spinner = Spinner("line", style="bold")

    def __rich__(self) -> RenderableType:
        return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        if self.so_far:
            yield Text("")
            if self.so_far["best"]:
                yield best_table(self.so_far["best"])
            yield Text(standing_text(self.so_far), style="bold")
        running = list(self.doing.values())
        for text, since in running[:MOST_RUNNING]:
            took = time.monotonic() - since
            self._spinner.update(
                text=Text(text + (f" ({duration_text(took)})" if took > 2 else ""))
            )
            yield self._spinner.render(time.monotonic())
        if len(running) > MOST_RUNNING:
            yield Text(f"  and {len(running) - MOST_RUNNING} more")


def best_table(best: list[Mapping[str, Any]]) -> Table:
    """Return the best value of each objective, with its change against the baseline."""
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "right"):
        table.add_column(justify=justify, overflow="fold")
    heads = ("best so far", "", "vs baseline", "trial")
    table.add_row(*(Text(head, style="dim") for head in heads))
    for one in best:
        name = f"{printable(one['metric'])} {ARROWS[one['direction']]}"
        change = one["change"] or ("" if one["trial"] else "baseline")
        value = Text(number(one["value"]), style="bold")
        table.add_row(Text(name), value, Text(change), Text(str(one["trial"])))
    return table


def standing_text(so_far: Mapping[str, Any]) -> str:
    """Return how far a campaign is, in one line."""
    parts = [f"{so_far['done']} of {so_far['total']} trials"]
    if so_far["front"]:
        points = "1 point" if so_far["front"] == 1 else f"{so_far['front']} points"
        parts.append(f"{points} on the front ({MOVED} moved it)")
    if so_far["hypervolume"] is not None:
        parts.append(f"hypervolume {so_far['hypervolume']:.3f}")
    if so_far["done"] < so_far["total"]:
        if rate := so_far["trials_per_s"]:
            parts.append(rate_text(rate))
        if so_far["left_s"] is not None:
            parts.append(f"about {duration_text(so_far['left_s'])} left")
    return ", ".join(parts)


def rate_text(per_second: float) -> str:
    """Return a rate in the unit in which it is at least one, if there is one."""
    for unit, seconds in (("s", 1.0), ("min", MINUTE), ("h", HOUR)):
        rate = per_second * seconds
        if rate >= 1 or unit == "h":
            return f"{rate:.0f} trials/{unit}" if rate >= 10 else f"{rate:.1f} trials/{unit}"
    raise AssertionError("unreachable")
