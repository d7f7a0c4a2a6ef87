"""`python -m campaign workload`: what a workload looks like, and any workload as a trace file."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.config.compose import Composed, compose
from campaign.core.errors import ConfigError
from campaign.report.facts import number, percent

if TYPE_CHECKING:
    from campaign.core.jobs import Workload
    from campaign.workloads.statistics import Distribution, Statistics

OUT = "out="
FORCE = "force="
PICTURE = "picture="
TRACES = ("swf", "batsim")  # kinds
TRACE_ENDINGS = (".swf", ".swf.gz")
PICTURE_ENDINGS = (".svg", ".html")
SETTINGS = "settings as for a search (workload=lublin workload.jobs=500 cluster.nodes=8)"
FILE = "a trace file (all its jobs, on its own machine; workload settings may follow)"
QUANTITIES = {  # head and unit
    "interarrival_s": ("interarrival", "s"),
    "width": ("width", "slots"),
    "runtime_s": ("run time", "s"),
    "requested_s": ("requested", "s"),
    "accuracy": ("accuracy", "run/request"),
    "area": ("area", "slot s"),
}
FIGURES = {name: name for name in ("min", "p25", "median", "p75", "p95", "max", "mean")} | {
    "cv": "CV"
}


@dataclass(frozen=True)
class Found:
    """A workload, the slots of the machine that it is for, and where it came from, in words."""

    workload: "Workload"
    slots: int
    source: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, summary, usage in (
        (
            "show",
            "its figures, distributions and picture",
            f"{SETTINGS}, or {FILE}; picture=FILE.svg or .html",
        ),
        (
            "convert",
            "write it as SWF, with all transformations",
            f"{SETTINGS}, or {FILE}; out=FILE.swf, force=true",
        ),
        (
            "generate",
            "write a model's jobs as SWF",
            f"{SETTINGS}; out=FILE.swf, force=true replaces it",
        ),
    ):
        command = below.add_parser(action, help=summary, description=summary)
        command.add_argument("arguments", nargs="*", help=usage)


def run(options: argparse.Namespace) -> int:
    """Do what the action says."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # bars of `?` where an encoding has no blocks
    if options.action == "show":
        _show(options.arguments)
    else:
        _write(options.arguments, refused=TRACES if options.action == "generate" else ())
    return 0


def split(arguments: Sequence[str], own: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Values of the command's `own` arguments by their prefix, the last of each; and what else
    there is."""
    values = {
        one: given.removeprefix(one) for given in arguments for one in own if given.startswith(one)
    }
    return values, [given for given in arguments if not given.startswith(tuple(own))]


def _show(arguments: Sequence[str]) -> None:
    own, rest = split(arguments, (PICTURE,))
    place = _place(PICTURE, own[PICTURE], PICTURE_ENDINGS) if PICTURE in own else None
    found = _found(rest)
    from campaign.report.workload_picture import (
        characters,
        printable,
        workload_page,
        workload_svg,
    )
    from campaign.workloads.statistics import describe

    known = describe(found.workload, found.slots)
    for line in _lines(found, known):
        print(printable(line))
    print(f"\n{characters(known)}")
    if place:
        draw = workload_svg if place.suffix == ".svg" else workload_page
        try:
            place.write_text(draw(found.workload, known), encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{place}: {error.strerror}", resolution="Name a file that can be written."
            ) from error
        print(f"\n{printable(str(place))} holds the picture")


def _write(arguments: Sequence[str], refused: Sequence[str]) -> None:
    """Write what the arguments name as SWF, unless its kind is `refused`."""
    own, rest = split(arguments, (OUT, FORCE))
    place = _place(OUT, own.get(OUT, ""), TRACE_ENDINGS)
    if place.exists() and not _flag(own.get(FORCE, "false")):
        raise ConfigError(
            f"{place} exists",
            resolution="Choose another out=FILE.swf, or add force=true to replace it.",
        )
    found = _found(rest, refused)
    from campaign.report.workload_picture import printable
    from campaign.workloads.swf import write_swf

    write_swf(found.workload, place)
    for line in (
        f"{place}: {len(found.workload)} jobs of {found.source}",
        *_identity(found.workload),
    ):
        print(printable(line))


def _found(arguments: Sequence[str], refused: Sequence[str] = ()) -> Found:
    """The workload that a file or settings name; ConfigError if its kind is `refused`."""
    files = [one for one in arguments if "=" not in one or Path(one).is_file()]
    if len(files) > 1:
        raise ConfigError(
            f"{' '.join(files)}: one trace file at a time",
            resolution="Give one file, then settings.",
        )
    if not files:
        composed = compose(arguments)
        _refuse(composed.campaign.workload.kind, refused)
        return _configured(composed)
    kind = "batsim" if files[0].endswith((".json", ".json.gz")) else "swf"
    _refuse(kind, refused)
    return _on_its_machine(_path(files[0]), kind, [one for one in arguments if one not in files])


def _refuse(kind: str, refused: Sequence[str]) -> None:
    if kind in refused:
        raise ConfigError(
            f"workload.kind = {kind}: a trace is read, not generated",
            resolution="Use `python -m campaign workload convert` for traces, or choose a model: "
            "workload=lublin.",
        )


def _configured(composed: Composed) -> Found:
    """The jobs of a campaign, for its smallest cluster, which every trial of it replays."""
    from campaign.workloads import load

    settings = composed.campaign.workload
    slots = composed.smallest_slots
    named = settings.path if settings.kind in TRACES else f"seed {settings.seed}"
    return Found(
        load(settings, slots=slots),
        slots,
        f"{settings.kind}, {named}, for the campaign's smallest cluster",
    )


def _on_its_machine(file: Path, kind: str, overrides: Sequence[str]) -> Found:
    """All jobs of a trace (unless `overrides` say otherwise), on the machine that they ran on."""
    if not file.exists():
        raise ConfigError(f"there is no file {file}", resolution=f"Give {FILE}, or {SETTINGS}.")
    for one in overrides:
        if not one.startswith("workload.") or one.startswith(("workload.path=", "workload.kind=")):
            raise ConfigError(
                f"{one}: beside a file, only workload settings have a meaning, and neither its "
                "path nor its kind",
                resolution=f"For a cluster of yours, say workload={kind} workload.path={file} "
                f"{one}.",
            )
    from campaign.workloads.batsim import read_batsim
    from campaign.workloads.swf import read_swf
    from campaign.workloads.transform import transform

    settings = compose(
        ["workload=swf", "workload.path=''", f"workload.kind={kind}", *overrides]
    ).campaign.workload
    trace = {"swf": read_swf, "batsim": read_batsim}[kind](file, strict=settings.strict)
    if not any(one.startswith("workload.jobs=") for one in overrides):
        settings = settings.model_copy(update={"jobs": len(trace)})
    slots = settings.machine or trace.machine_slots or max(trace.table.column("width").to_pylist())
    return Found(
        transform(trace, settings, slots=slots), slots, f"{kind}, {file}, on its own machine"
    )


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ConfigError(
            f"force={text}: neither true nor false",
            resolution="Say force=true to replace the file.",
        )
    return text == "true"


def _place(prefix: str, text: str, endings: Sequence[str]) -> Path:
    """Where to write; ConfigError unless it is a file, in a folder that exists, whose name says
    what it will hold."""
    place = _path(text)
    usage = " or ".join(f"{prefix}FILE{ending}" for ending in endings)
    if not text.endswith(tuple(endings)) or place.is_dir():
        raise ConfigError(
            f"{prefix}{text}: not the name of a file to write", resolution=f"Say {usage}."
        )
    if not place.parent.is_dir():
        raise ConfigError(
            f"{prefix}{text}: there is no folder {place.parent}",
            resolution=f"Make it, or say {usage}.",
        )
    return place


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: {error}", resolution="Write the path in full.") from error


def _lines(found: Found, known: "Statistics") -> Iterator[str]:
    yield from _facts(found, known)
    yield ""
    yield from _table(known.distributions)
    yield ""
    serial = percent(known.serial)
    powers = percent(known.powers_of_two)
    yield f"{serial} of the jobs are 1 slot wide; the widths of {powers} are powers of two"
    yield from _cycle("hour of the day", known.day)
    yield from _cycle("day of the week", known.week)


def _facts(found: Found, known: "Statistics") -> Iterator[str]:
    from campaign.report.workload_picture import duration

    yield f"name          {found.workload.name}"
    yield f"source        {found.source}"
    yield f"jobs          {known.jobs} of {known.users or 'unknown'} users"
    yield (
        f"span          {number(known.span_s)} s ({duration(known.span_s)}), first to last arrival"
    )
    load = "none: all jobs arrive at once" if known.load is None else number(known.load)
    yield f"slots         {known.slots}"
    yield f"offered load  {load}"
    yield from _identity(found.workload)


def _identity(workload: "Workload") -> Iterator[str]:
    """The hash of the jobs, and what was done to get them."""
    yield f"hash          {workload.hash}"
    for name, note in workload.notes.items():
        yield f"note          {name}: {note}"


def _table(known: Mapping[str, "Distribution"]) -> Iterator[str]:
    """A column per quantity, a row per figure."""
    for heads in zip(*QUANTITIES.values(), strict=True):
        yield f"{'':<8}" + "".join(f"{head:>12}" for head in heads)
    columns = [known.get(quantity) for quantity in QUANTITIES]
    for name, label in FIGURES.items():
        values = (None if one is None else getattr(one, name) for one in columns)
        yield f"{label:<8}" + "".join(f"{number(value):>12}" for value in values)


def _cycle(part: str, rates: Sequence[float]) -> Iterator[str]:
    """A cycle as a row of characters, and its extremes."""
    from campaign.report.workload_picture import sparkline

    if rates:
        yield f"jobs per hour by {part}, the first arrival in number 0:"
        most = max(rates)
        least = min(rates)
        said = (
            f"most in {rates.index(most)} ({number(most)}), least in {rates.index(least)} "
            f"({number(least)})"
        )
        yield f"  {sparkline(rates)}  {said}"
