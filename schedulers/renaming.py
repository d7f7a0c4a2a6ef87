"""An image that has everything under another name, and what a bound adapter says of it."""

import re
from collections.abc import Iterator, Mapping

from schedulers.base import Params, Topology
from schedulers.facts import ImageFacts
from schedulers.interface import BoundScheduler
from schedulers.samples import PAYLOAD, clusters_of, commands_of, job, plans_of


class RecordedFacts(ImageFacts):
    """Facts that note in `read` which of them were asked for."""

    read: set[str]

    def __init__(self, image: str, values: Mapping[str, str]) -> None:
        super().__init__(image, values)
        # The base class is frozen.
        object.__setattr__(self, "read", set())

    def __getitem__(self, name: str) -> str:
        """Return the fact `name`, as `ImageFacts` does."""
        self.read.add(name)
        return super().__getitem__(name)


def renamed(facts: ImageFacts) -> ImageFacts:
    """Return the facts of an image on which every path, unit and user is called otherwise."""
    return ImageFacts(
        f"{facts.image}, renamed",
        {
            name: f"/renamed{value}" if value.startswith("/") else f"renamed-{value}"
            for name, value in facts.values.items()
        },
    )


def said_by(bound: BoundScheduler[Params]) -> Iterator[tuple[str, str]]:
    """Yield all that a bound adapter says to nodes of its image, as (where it says it, text)."""
    for cluster in clusters_of(bound):
        yield from _said_of(bound, cluster)


def _said_of(bound: BoundScheduler[Params], cluster: Topology) -> Iterator[tuple[str, str]]:
    for name, plan in plans_of(bound, cluster):
        for node, file in plan.files():
            yield f"a file of {name}", f"{file.path} owner={file.owner}"
            if not file.secret:
                yield f"{node}:{file.path} of {name}", file.content.decode(errors="replace")
        for stage in plan.stages:
            for step in stage.steps.values():
                yield from ((f"a unit of {name}", f"{unit.name} {unit.log}") for unit in step.units)
    for where, command in commands_of(bound, cluster):
        yield where, " ".join(command)
    for one in (cluster.head, cluster.compute[0]):
        yield f"log_files of the {one.role}", " ".join(bound.log_files(one))
    yield "job_script", bound.job_script(job(1), cluster, PAYLOAD).decode()


def mentions(text: str, value: str) -> bool:
    """Return True if a fact's value stands in the text as a name of its own, no part of another.

    A bare word, such as a user's name, is also what programs, folders and modules are called: it
    counts only where a user or a group is named.
    """
    word = re.escape(value)
    if value.startswith("/"):
        before = r"(?<![\w.])"
    elif "." in value:
        before = r"(?<![\w./-])"
    else:
        before = r"(?i:user|group|owner|[ug]id)\W{1,3}"
    return bool(re.search(rf"{before}{word}(?![\w/-]|\.\w)", text))
