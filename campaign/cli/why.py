"""`hpc-campaign why`: what a job of a trial waited for, from its submission to its start."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from campaign.cli.arguments import add_results, whole_number
from campaign.cli.output import add_json, print_json, say
from campaign.core.durations import duration_text
from campaign.core.errors import UsageError

if TYPE_CHECKING:
    from campaign.execution.why import JobStory

_TRIAL = re.compile(r"(?P<name>[^:]+):(?P<trial>\d+)")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("trial", metavar="NAME:TRIAL", help="a trial of a campaign with Slurm")
    parser.add_argument("job", type=whole_number("JOB", least=0), help="the number of a job of it")
    add_results(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Simulate the trial's point again, and print the reasons for which the job waited."""
    from campaign.execution.why import story_of
    from campaign.records.results import Results

    match = _TRIAL.fullmatch(options.trial)
    if match is None:
        raise UsageError(
            f"{options.trial!r} names no trial", resolution="Write NAME:TRIAL, such as demo:3."
        )
    results = Results(options.results, match["name"])
    story = story_of(results, int(match["trial"]), options.job)
    if options.json:
        print_json({"trial": options.trial, **asdict(story)})
    else:
        say("\n".join(_lines(options.trial, story)))
    return 0


def _lines(trial: str, story: "JobStory") -> Iterator[str]:
    slots = "1 slot" if story.width == 1 else f"{story.width} slots"
    yield (
        f"Job {story.job_id} of {trial}: {slots} for at most {duration_text(story.requested_s)} "
        "(a simulation; times since the workload's start)"
    )
    yield f"{_clock(story.submitted_s)}  submitted"
    for wait in story.waits:
        lasted = duration_text(wait.until_s - wait.since_s)
        yield f"{_clock(wait.since_s)}  waits {lasted}: {wait.why}"
    if story.started_s is None or story.ended_s is None:
        yield "it never started"
    else:
        waited = duration_text(story.started_s - story.submitted_s)
        yield f"{_clock(story.started_s)}  started, after {waited}"
        yield f"{_clock(story.ended_s)}  ended"
    if story.measured_start_s is not None:
        yield f"In the trial itself it started at {_clock(story.measured_start_s)}."


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))).rjust(17)
