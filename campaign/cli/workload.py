"""`hpc-campaign workload`: show a workload, convert any to a trace file, generate one."""

import argparse
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.cli.arguments import file_to_write
from campaign.cli.output import say
from campaign.config.workload_source import FILE_USAGE, SETTINGS_USAGE, find_workload
from campaign.core.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from campaign.core.jobs import Workload
    from campaign.workloads.statistics import Statistics

TRACE_ENDINGS = (".swf", ".swf.gz")
PICTURE_ENDINGS = (".svg", ".html")
ACTIONS = {
    "show": ("show figures, distributions and a picture", f"{SETTINGS_USAGE}, or {FILE_USAGE}"),
    "convert": (
        "write a workload as SWF, with all transformations",
        f"{SETTINGS_USAGE}, or {FILE_USAGE}",
    ),
    "generate": ("write a model's jobs as SWF", SETTINGS_USAGE),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, (summary, usage) in ACTIONS.items():
        command = below.add_parser(action, help=summary, description=summary)
        command.add_argument("words", nargs="*", metavar="FILE|SETTING", help=usage)
        if action == "show":
            command.add_argument(
                "--picture",
                type=file_to_write("--picture", *PICTURE_ENDINGS),
                metavar="FILE",
                help="draw it as FILE.svg or as a page, FILE.html",
            )
        else:
            command.add_argument(
                "--out",
                type=file_to_write("--out", *TRACE_ENDINGS),
                metavar="FILE",
                help="the file to write: FILE.swf or FILE.swf.gz",
            )
            command.add_argument(
                "--force", action="store_true", help="replace FILE if there is one"
            )
            command.add_argument(
                "--whole-seconds",
                action="store_true",
                help="round all times, for programs that read SWF without decimals",
            )


def run(options: argparse.Namespace) -> int:
    """Do what the action says."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # bars of `?` where an encoding has no blocks
    if options.action == "show":
        _show(options)
    else:
        _write(options)
    return 0


def _show(options: argparse.Namespace) -> None:
    named = find_workload(options.words)
    # Numpy and what else the figures need takes a while to load, so an error above comes at once.
    from campaign.report.workload_picture import (
        characters,
        workload_page,
        workload_svg,
    )
    from campaign.report.workload_text import workload_lines
    from campaign.workloads.statistics import describe

    known = describe(named.workload, named.slots)
    for line in workload_lines(named.workload, known, source=named.source):
        say(line)
    say(f"\n{characters(known)}")
    if options.picture:
        draw = workload_svg if options.picture.suffix == ".svg" else workload_page
        _draw(options.picture, draw, named.workload, known)
        say(f"\n{options.picture} holds the picture")


def _draw(
    place: Path,
    draw: "Callable[[Workload, Statistics], str]",
    workload: "Workload",
    known: "Statistics",
) -> None:
    try:
        place.write_text(draw(workload, known), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{place}: {error.strerror}", resolution="Name a file that can be written."
        ) from error


def _write(options: argparse.Namespace) -> None:
    """Write what the words name as SWF; a trace is refused where a model is to be generated."""
    place = options.out
    if place is None:
        raise UsageError(
            f"workload {options.action}: no file to write",
            resolution="Use --out FILE.swf or --out FILE.swf.gz.",
        )
    if place.exists() and not options.force:
        raise UsageError(
            f"{place} exists",
            resolution="Choose another --out FILE.swf, or add --force to replace it.",
        )
    named = find_workload(options.words, generated=options.action == "generate")
    from campaign.report.workload_text import identity_lines
    from campaign.workloads.swf import write_swf
    from campaign.workloads.whole_seconds import has_decimals, in_whole_seconds

    workload = in_whole_seconds(named.workload) if options.whole_seconds else named.workload
    write_swf(workload, place)
    heading = f"{place}: {len(workload)} jobs of {named.source}"
    for line in (heading, *identity_lines(workload)):
        say(line)
    if has_decimals(workload):
        say("its times have decimals, which some programs don't read; --whole-seconds rounds them")
