"""A site's own settings of a scheduler, and what was made of each line of its files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from campaign.schema.cluster import ClusterModelSettings
from campaign.schema.settings import Scalar

Verdict = Literal["taken", "passed", "cluster", "same", "fixed", "refused", "missing", "other"]
VERDICTS: Mapping[Verdict, str] = {
    "taken": "taken: parameters of every trial, and of the baseline where they are searched",
    "passed": "passed on: written as they stand into every trial's configuration",
    "cluster": "taken into the cluster: its nodes, partitions, people and reservations",
    "same": "the same in every trial here anyway",
    "fixed": "otherwise in every trial here",
    "refused": "not taken: no value that the scheduler takes, or no option that it knows",
    "missing": "not taken, though it decides which job starts when: not expressed here",
    "other": "not taken: not known to decide which job starts when",
}


@dataclass(frozen=True)
class SiteLine:
    """A setting in a site's file, what was made of it, and why."""

    file: Path
    line: int
    name: str
    value: str
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class SiteSettings:
    """A scheduler's parameters as a site has them, and all that its files say, in their order."""

    scheduler: str
    params: Mapping[str, Scalar]
    lines: tuple[SiteLine, ...]


@dataclass(frozen=True)
class SiteFiles:
    """The files in which a site describes its cluster: the scheduler's own, and dumps of others.

    `devices` says more of nodes' GPUs, `people` has accounts, users and qualities of service.
    Reservations count from `begin` on, in the site's own time.
    """

    conf: Path
    devices: Path | None = None
    people: tuple[Path, ...] = ()
    reservations: Path | None = None
    begin: datetime | None = None


@dataclass(frozen=True)
class SiteCluster:
    """A site's cluster, what was made of each line of its files, and what holds of the whole.

    `params` are parameters of the scheduler that speak of pieces of this cluster.
    """

    model: ClusterModelSettings
    lines: tuple[SiteLine, ...]
    sentences: tuple[str, ...] = ()
    params: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteChange:
    """A change of a site's files: parameters with their values before and after, and contents.

    `contents` has the whole text of each file that changes, as it is and as it would be.
    """

    params: Mapping[str, tuple[Scalar, Scalar]]
    contents: Mapping[Path, tuple[str, str]]


class ReadsSiteSettings(Protocol):
    """An adapter that understands a site's own configuration file."""

    site_file: str
    """What that file is called."""

    def read_site(self, file: Path) -> SiteSettings:
        """Return what the file says; raise ConfigError where it can't be read."""

    def read_site_cluster(self, files: SiteFiles) -> SiteCluster:
        """Return the cluster that the files describe; raise ConfigError where one can't be read."""

    def changed_site(self, file: Path, params: Mapping[str, Scalar]) -> SiteChange:
        """Return the change by which the site would have these parameters.

        Raise ConfigError where that can't be written.
        """
