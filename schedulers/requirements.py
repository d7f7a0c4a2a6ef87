"""What an adapter requires of an image: programs, units, users.

They are found in the plans and commands that the adapter makes.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from schedulers.base import Params
from schedulers.interface import BoundScheduler
from schedulers.samples import CLUSTER, commands_of, plans_of

_UNIT_FOLDER = "/etc/systemd/system/"
_PROGRAM_FOLDERS = ("/bin/", "/usr/bin/", "/usr/sbin/", "/sbin/")
_WRAPPERS = {
    "timeout": re.compile(r"[\d.]+|-.*"),
    "setpriv": re.compile(r"-.*"),
}
"""Programs that run another one, and what of theirs comes before its name."""
_STARTED = re.compile(r"^ExecStart=(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Requirements:
    """What an image must have.

    `programs` are on PATH; `units` are those that no plan brings along; `users` own what a plan
    writes.
    """

    programs: frozenset[str]
    units: frozenset[str]
    users: frozenset[str]


def requirements_of(bound: BoundScheduler[Params]) -> Requirements:
    """Return what the plans and commands of a bound adapter require of its image."""
    steps = [
        step
        for _, plan in plans_of(bound, CLUSTER)
        for stage in plan.stages
        for step in stage.steps.values()
    ]
    files = [file for step in steps for file in step.files]
    brought = {
        file.path.removeprefix(_UNIT_FOLDER): file
        for file in files
        if file.path.startswith(_UNIT_FOLDER)
    }
    started = (
        name for file in brought.values() for name in _STARTED.findall(file.content.decode())
    )
    commands = [command for _, command in commands_of(bound, CLUSTER)]
    return Requirements(
        programs=frozenset(_programs((*commands, *((name,) for name in started)))),
        units=frozenset(unit.name for step in steps for unit in step.units) - brought.keys(),
        users=frozenset(file.owner for file in files),
    )


def _programs(commands: Iterable[tuple[str, ...]]) -> Iterator[str]:
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
