"""Which schedulers can run on this machine, and what the others lack."""

from collections.abc import Iterator
from dataclasses import dataclass

from campaign.core.errors import ImageError
from campaign.extras.required import require
from campaign.schema.image import ImageSettings
from campaign.testbeds.preflight import store_of
from schedulers.base import Params
from schedulers.interface import Scheduler
from schedulers.registry import adapter, names


@dataclass(frozen=True)
class SchedulerHere:
    """A scheduler, where it can run, and what its nodes lack: nothing, or words and a fix."""

    name: str
    runs: str
    lacks: str = ""
    fix: str = ""

    @property
    def found(self) -> str:
        """Both, as one text."""
        return f"{self.name}: {self.runs}" + (f"; {self.lacks}" if self.lacks else "")


def schedulers_here(image: ImageSettings, *, machines: bool) -> Iterator[SchedulerHere]:
    """Yield every scheduler; without `machines`, nothing but simulations can run."""
    for name in names():
        yield _here(adapter(name), image, machines=machines)


def _here(scheduler: Scheduler[Params], image: ImageSettings, *, machines: bool) -> SchedulerHere:
    name = scheduler.name
    simulated = "in simulation"
    if not machines:
        lacks = "virtual machines lack what is MISSING above"
        return SchedulerHere(name, simulated, lacks, "see above")
    kinds = [simulated, "on virtual machines"]
    if scheduler.shared_node_mib:
        kinds.insert(1, "in virtual time")
    runs = f"{', '.join(kinds[:-1])} and {kinds[-1]}"
    wanted = scheduler.image
    if any(bundle.manifest.name == wanted for bundle in store_of(image).bundles()):
        return SchedulerHere(name, f"{runs} (image {wanted})")
    try:
        require(wanted, image.builder, extras=image.extras)
    except ImageError as error:
        files = [line.strip() for line in error.details.splitlines() if ": it " in line]
        lacks = f"elsewhere it lacks {len(files)} files of the image {wanted}"
        lacks = lacks.replace(" 1 files", " a file")
        return SchedulerHere(name, simulated, "\n".join([lacks, *files]), error.resolution)
    return SchedulerHere(name, f"{runs} (image {wanted}, which a search builds, once)")
