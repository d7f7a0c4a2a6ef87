"""Removes what is ours and has no living owner any more; leaves everything else alone."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.hypervisor.connection import OwnedDomain
from actors.hypervisor.errors import HypervisorError, InvalidLease
from actors.hypervisor.lease import Lease
from actors.hypervisor.run_folder import RunFolder, all_folders, remove_unfinished

# libvirt may still be starting a domain for a driver that is dead already, so one look is not
# enough.
_PASSES = 3


class Domains(Protocol):
    """What the reaper needs of a `Hypervisor`."""

    def ours(self) -> list[OwnedDomain]:
        """Return all domains with a lease of ours."""
        ...

    def destroy_owned(self, domain: OwnedDomain) -> bool:
        """End exactly this domain; return False if it was gone."""
        ...


@dataclass(frozen=True)
class Reaped:
    """What was removed, and what wasn't."""

    domains: tuple[str, ...]
    folders: tuple[Path, ...]
    kept: tuple[str, ...]
    """Our domains that live on under a valid lease."""
    failures: tuple[str, ...]
    """What could not be removed, and why, as sentences."""

    def __str__(self) -> str:
        done = (
            f"removed {_counted(len(self.domains), 'domain')} and "
            f"{_counted(len(self.folders), 'run folder')}, kept {len(self.kept)} live"
        )
        return "; ".join((done, *self.failures))


def reap(
    hypervisor: Domains,
    run_root: Path,
    *,
    now: float | None = None,
    all: bool = False,
    clusters: Collection[str] = (),
) -> Reaped:
    """Remove our domains and run folders whose lease is over or whose owner is dead.

    `now` is in Unix seconds, the present if None. Those of `clusters` are removed whatever their
    leases say; with `all`, every one of ours is. A folder outlives its domain's removal only if the
    domain can't be ended: its credentials are then still in use. Foreign domains, folders without a
    lease, and live leases are not touched. One failure does not stop the rest.
    """
    moment = time.time() if now is None else now

    def doomed(lease: Lease) -> bool:
        return all or lease.trial in clusters or lease.lapsed(moment)

    ended: list[str] = []
    failures: dict[str, str] = {}
    for _ in range(_PASSES):
        lapsed = [one for one in hypervisor.ours() if doomed(one.lease)]
        if not lapsed:
            break
        for domain in lapsed:
            _end(hypervisor, domain, ended, failures)
    # Asked once more: what couldn't be ended goes on using its folder.
    alive = {one.name for one in hypervisor.ours()}
    removed = remove_unfinished(run_root)
    for folder in all_folders(run_root):
        if folder.path.name not in alive and _covered_by(folder, doomed):
            _remove(folder, removed, failures)
    kept = sorted(alive - failures.keys())
    return Reaped(
        # A domain may have been ended in more than one pass.
        tuple(dict.fromkeys(ended)),
        tuple(removed),
        tuple(kept),
        tuple(failures.values()),
    )


def _end(
    hypervisor: Domains, domain: OwnedDomain, ended: list[str], failures: dict[str, str]
) -> None:
    try:
        if hypervisor.destroy_owned(domain):
            ended.append(domain.name)
        # An earlier pass may have failed to end it.
        failures.pop(domain.name, None)
    except HypervisorError as error:
        failures[domain.name] = str(error)


def _remove(folder: RunFolder, removed: list[Path], failures: dict[str, str]) -> None:
    try:
        folder.remove()
        removed.append(folder.path)
    except OSError as error:
        failures[str(folder.path)] = f"the run folder {folder.path} can't be removed: {error}"


def _covered_by(folder: RunFolder, doomed: Callable[[Lease], bool]) -> bool:
    try:
        return doomed(folder.lease())
    except InvalidLease:
        # Without a readable lease nobody knows whose it is, so it is left alone.
        return False


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
