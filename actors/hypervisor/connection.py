"""One connection to a libvirt: start and end nodes, find ours, look at one; every failure is an error that says why."""

import logging
import platform
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import libvirt

from actors.hypervisor import snapshot
from actors.hypervisor.domain import (
    LEASE_NAMESPACE,
    LEASE_PREFIX,
    NodeSpec,
    domain_xml,
    lease_element,
    parse_lease,
)
from actors.hypervisor.errors import HypervisorError, InvalidLease, LibvirtUnreachable, NodeGone
from actors.hypervisor.lease import Lease
from actors.hypervisor.start_failure import explain

log = logging.getLogger(__name__)
T = TypeVar("T")

_OPEN_SECONDS = 20.0
_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
}


@dataclass(frozen=True)
class Versions:
    """What a measurement ran on: libvirt, QEMU, and this machine's kernel and host name."""

    libvirt: str
    qemu: str
    kernel: str
    host: str


@dataclass(frozen=True)
class OwnedDomain:
    """A domain that carries our metadata."""

    name: str
    uuid: str
    lease: Lease


@dataclass(frozen=True)
class Usage:
    """What a running node has used: CPU time of all its threads, and resident memory of its QEMU process."""

    cpu_seconds: float
    resident_mib: int


class Hypervisor:
    """An open connection to the libvirt at `uri`; close it, or use it in a `with`.

    Its methods may be called from any thread. When libvirt is restarted, the call that notices fails, and the next one
    connects again; before that, `revive` may see to it that libvirt runs.
    """

    def __init__(
        self, uri: str, *, open_seconds: float = _OPEN_SECONDS, revive: Callable[[], object] = lambda: None
    ) -> None:
        """Connect; `LibvirtUnreachable` if nothing answers within `open_seconds`."""
        self.uri = uri
        self._revive = revive
        self._open_seconds = open_seconds
        self._opened = _open(uri, open_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; guests run on. Closing twice is harmless."""
        try:
            self._opened.close()
        except libvirt.libvirtError as error:
            log.debug("closing %s: %s", self.uri, error)

    def versions(self) -> Versions:
        """The versions that a result is stamped with; "unknown" where libvirt does not tell."""
        return Versions(
            libvirt=_dotted(self._ask(self._connection.getLibVersion)),
            qemu=_dotted(self._ask(self._connection.getVersion)),
            kernel=platform.release(),
            host=self._ask(self._connection.getHostname),
        )

    def start(self, spec: NodeSpec, *, run_as: tuple[int, int] | None = None) -> None:
        """On return the node's domain runs (a restored one is paused), and libvirt forgets it as soon as it ends.

        Where libvirt is privileged, QEMU runs as `run_as` (uid, gid), who must be able to read the node's files; the
        default is the owner of its console log, the caller as a rule. `NodeStartFailed` or a subclass says what was
        in the way; nothing is left running then.
        """
        try:
            spec.console_log.touch(mode=0o600)  # else a privileged libvirt makes it, and we couldn't read it
            owner = run_as or (spec.console_log.stat().st_uid, spec.console_log.stat().st_gid)
            paused = libvirt.VIR_DOMAIN_START_PAUSED if spec.memory and spec.memory.use == "restore" else 0
            self._connection.createXML(domain_xml(spec, run_as=owner if self._separates_users else None), paused)
        except (OSError, libvirt.libvirtError) as error:
            raise explain(str(error), spec, self.uri) from error

    def suspend(self, name: str) -> None:
        """Stop the node's CPUs; `NodeGone` if it is gone."""
        self._ask(self._lookup(name).suspend)

    def resume(self, name: str) -> None:
        """Let the node's CPUs run; `NodeGone` if it is gone."""
        self._ask(self._lookup(name).resume)

    def save_devices(self, name: str, path: Path) -> None:
        """Write the state of a suspended node's devices to `path`. With its recorded memory file, that is all of it.

        `SnapshotFailed` says what QEMU or libvirt said.
        """
        snapshot.save_devices(self._lookup(name), path)

    def load_devices(self, name: str, path: Path) -> None:
        """Give a node that was started to be restored the state of its devices. It is then as it was, and paused."""
        snapshot.load_devices(self._lookup(name), path)

    def destroy(self, name: str) -> bool:
        """End the domain at once, as if its plug were pulled. False if there was none (any more)."""
        return self._end(lambda: self._connection.lookupByName(name), name)

    def destroy_owned(self, domain: OwnedDomain) -> bool:
        """End exactly this domain, not one that has taken its name since. False if there was none (any more)."""
        return self._end(lambda: self._connection.lookupByUUIDString(domain.uuid), domain.name)

    def ours(self, wanted: Callable[[Lease], bool] = lambda _: True) -> list[OwnedDomain]:
        """The domains that carry a lease of ours for which `wanted` holds, sorted by name; all others are foreign."""
        found = (self._owned(domain) for domain in self._ask(self._connection.listAllDomains))
        return sorted((one for one in found if one and wanted(one.lease)), key=lambda one: one.name)

    def guests(self) -> list[str]:
        """The names of all running domains, foreign ones included."""
        active = self._ask(lambda: self._connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))
        return sorted(domain.name() for domain in active)

    def renew(self, name: str, expires: int) -> Lease:
        """Let the lease of a running domain end at `expires` (unix seconds) instead; `NodeGone` if it is gone."""
        domain = self._lookup(name)
        owned = self._owned(domain)
        if owned is None:
            raise HypervisorError(f"the domain {name} carries no lease of ours, so none can be renewed")
        lease = replace(owned.lease, expires=expires)
        # libvirt adds the namespace itself and wants the bare element.
        bare = ET.tostring(ET.Element("lease", lease_element(lease).attrib), encoding="unicode")
        kind, live = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._ask(lambda: domain.setMetadata(kind, bare, LEASE_PREFIX, LEASE_NAMESPACE, live))
        return lease

    def state(self, name: str) -> str:
        """ "running", "paused", "shutting down", "off", "crashed", "suspended", or "gone" if there is none."""
        try:
            state, _ = self._ask(lambda: self._lookup(name).state())
        except NodeGone:
            return "gone"
        return _STATES.get(state, f"unknown ({state})")

    def usage(self, name: str) -> Usage:
        """What a running node has used so far; `NodeGone` if it is gone."""
        domain = self._lookup(name)
        nanoseconds = self._ask(domain.info)[4]
        resident_kib = self._ask(domain.memoryStats).get("rss", 0)
        return Usage(cpu_seconds=nanoseconds / 1e9, resident_mib=resident_kib // 1024)

    @property
    def _connection(self) -> Any:
        if not self._opened.isAlive():
            self._revive()
            self._opened = _open(self.uri, self._open_seconds)
        return self._opened

    def _end(self, find: Callable[[], Any], name: str) -> bool:
        try:
            find().destroy()
        except libvirt.libvirtError as error:
            # A transient domain that ends by itself in between is "not running" for a moment, then unknown.
            if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                return False
            raise HypervisorError(f"the domain {name} can't be ended", str(error)) from error
        return True

    def _owned(self, domain: Any) -> OwnedDomain | None:
        try:
            text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, LEASE_NAMESPACE)
            return OwnedDomain(name=domain.name(), uuid=domain.UUIDString(), lease=parse_lease(text))
        except libvirt.libvirtError as error:
            if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
                return None
            raise HypervisorError(f"the lease of the domain {domain.name()} can't be read", str(error)) from error
        except InvalidLease as error:
            log.warning("the domain %s is left alone: %s", domain.name(), error)
            return None

    def _lookup(self, name: str) -> Any:
        return self._ask(lambda: self._connection.lookupByName(name))

    @cached_property
    def _separates_users(self) -> bool:
        """Whether this libvirt runs QEMU as another user than itself (file ownership as security model)."""
        capabilities = ET.fromstring(self._ask(self._connection.getCapabilities))  # noqa: S314 - libvirt's own text
        return any(model.text == "dac" for model in capabilities.iterfind("./host/secmodel/model"))

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise NodeGone(str(error)) from error
            raise HypervisorError(f"libvirt at {self.uri} does not do what it is asked", str(error)) from error


def _open(uri: str, seconds: float) -> Any:
    """Open in a thread of its own: libvirt has no deadline for a daemon that accepts and then says nothing."""
    libvirt.registerErrorHandler(lambda *_: None, None)  # it prints every error to stderr otherwise
    result: list[Any] = []

    def attempt() -> None:
        try:
            result.append(libvirt.open(uri))
        except libvirt.libvirtError as error:
            result.append(error)

    thread = threading.Thread(target=attempt, name="libvirt-open", daemon=True)
    thread.start()
    thread.join(seconds)
    answer = result[0] if result else TimeoutError(f"no answer within {seconds:g} s")
    if isinstance(answer, Exception):
        raise LibvirtUnreachable(
            f"libvirt does not answer at {uri}",
            str(answer),
            'start its daemon, correct the URI, or set the URI to "private" to use a libvirtd of our own',
        ) from answer
    return answer


def _dotted(number: int) -> str:
    """libvirt's 9000000 as "9.0.0"."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}" if number else "unknown"
