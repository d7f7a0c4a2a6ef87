"""What an adapter asks of an image, found in the plans and commands that it makes: programs, units,
users."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from campaign.core.jobs import Job
from schedulers.base import Facts, Scheduler
from schedulers.conformance import topology

_UNIT_FOLDER = "/etc/systemd/system/"
_PROGRAM_FOLDERS = ("/bin/", "/usr/bin/", "/usr/sbin/", "/sbin/")
_WRAPPERS = {
    "timeout": re.compile(r"[\d.]+|-.*"),
    "setpriv": re.compile(r"-.*"),
}  # and what of theirs comes before a program
_STARTED = re.compile(r"^ExecStart=(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Demands:
    """Names of programs on PATH, of units that the image must bring, and of users that own what a
    plan writes."""

    programs: frozenset[str]
    units: frozenset[str]
    users: frozenset[str]


def demands(scheduler: Scheduler, facts: Facts) -> Demands:
    """What the plans and commands of `scheduler` ask of an image with these `facts`."""
    cluster = topology(2)
    params = scheduler.Params()
    plans = (
        scheduler.plan(cluster, params, scheduler.make_secrets(), facts),
        scheduler.reconfigure(cluster, params, facts),
    )
    steps = [step for plan in plans for stage in plan.stages for step in stage.steps.values()]
    files = [file for step in steps for file in step.files]
    brought = {
        file.path.removeprefix(_UNIT_FOLDER): file
        for file in files
        if file.path.startswith(_UNIT_FOLDER)
    }
    commands = [
        command
        for step in steps
        for command in (*step.commands, *(probe.command for probe in step.probes))
    ]
    started = (
        name for file in brought.values() for name in _STARTED.findall(file.content.decode())
    )
    return Demands(
        programs=frozenset(_named((*commands, *_asked(scheduler), *((name,) for name in started)))),
        units=frozenset(unit.name for step in steps for unit in step.units) - brought.keys(),
        users=frozenset(file.owner for file in files),
    )


def _asked(scheduler: Scheduler) -> Iterator[tuple[str, ...]]:
    """The commands of a trial, after the bootstrap."""
    cluster = topology(2)
    yield scheduler.rehearsal_command(cluster)
    yield scheduler.submit_command(Job(7, 0.0, 1, 1.0, 60.0, 0), cluster, "/run/7.sh")
    yield scheduler.session_command()
    yield scheduler.pending_command()
    yield scheduler.cancel_command("7")
    yield scheduler.lost_command(cluster.compute[0].name)
    yield scheduler.accounting_command()
    yield scheduler.version_command()
    yield scheduler.verify_command()
    yield from (
        command for role in ("head", "compute") for command in scheduler.health_commands(role)
    )


def _named(commands: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for command in commands:
        words = list(command)
        while words:
            folder = str(PurePosixPath(words[0]).parent) + "/"
            name = PurePosixPath(words[0]).name
            if "/" in words[0] and folder not in _PROGRAM_FOLDERS:
                break  # a file that the plan itself has written
            yield name
            skipped = _WRAPPERS.get(name)
            words = words[1:] if skipped else []
            while words and skipped and skipped.fullmatch(words[0]):
                words.pop(0)
