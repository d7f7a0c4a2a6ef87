"""One connection to a libvirt: it starts and ends nodes, finds ours, and tells their states."""

import logging
import platform
import signal
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TypeVar

import libvirt
import psutil

from actors.hypervisor import device_state, domain_state, monitor
from actors.hypervisor.domain import (
    LEASE_NAMESPACE,
    LEASE_PREFIX,
    domain_xml,
    lease_element,
    parse_lease,
)
from actors.hypervisor.errors import (
    HypervisorError,
    InvalidLease,
    LibvirtUnreachable,
    NodeGone,
    SnapshotFailed,
)
from actors.hypervisor.lease import Lease
from actors.hypervisor.node_spec import NodeSpec
from actors.hypervisor.process import arguments, end
from actors.hypervisor.start_failure import explain
from actors.hypervisor.timeout import with_timeout

_log = logging.getLogger(__name__)
T = TypeVar("T")

_OPEN_TIMEOUT_S = 20.0
_ANSWER_TIMEOUT_S = 60.0
"""libvirt itself waits up to 30 s for another request to let go of a domain."""
_START_TIMEOUT_S = 120.0
_KILL_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Versions:
    """The versions of what measurements run on, and this machine's host name."""

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
class NodeUsage:
    """The CPU time of all threads of a node's QEMU process, and its resident memory."""

    cpu_seconds: float
    resident_mib: int


class Hypervisor:
    """An open connection to the libvirt at `uri`; close it, or use it in a `with`.

    Its methods may be called from any thread, and every one of them ends in time, whatever libvirt
    does. Where libvirt was restarted, the request is repeated over a new connection; before that,
    `revive` is called, which may start libvirt. All methods may raise HypervisorErrors.
    """

    def __init__(
        self,
        uri: str,
        *,
        open_timeout_s: float = _OPEN_TIMEOUT_S,
        revive: Callable[[], object] = lambda: None,
    ) -> None:
        """Connect; `LibvirtUnreachable` if nothing answers within `open_timeout_s`."""
        self.uri = uri
        self._revive = revive
        self._open_seconds = open_timeout_s
        self._reopening = threading.Lock()
        self._opened: Any = _open(uri, open_timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; guests run on. Closing twice is harmless."""
        opened = self._opened
        self._opened = None
        if opened is None:
            return
        try:
            with_timeout(_ANSWER_TIMEOUT_S, opened.close)
        except (TimeoutError, libvirt.libvirtError) as error:
            _log.debug("closing %s: %s", self.uri, error)

    def versions(self) -> Versions:
        """Return the versions for a result's provenance; "unknown" where libvirt tells none."""
        return Versions(
            libvirt=_dotted(self._ask(lambda libvirtd: libvirtd.getLibVersion())),
            qemu=_dotted(self._ask(lambda libvirtd: libvirtd.getVersion())),
            kernel=platform.release(),
            host=self._ask(lambda libvirtd: libvirtd.getHostname()),
        )

    def start(self, spec: NodeSpec, *, run_as: tuple[int, int] | None = None) -> None:
        """Start a node's domain, paused if it is a restored one.

        libvirt forgets the domain as soon as it ends. Where libvirt is privileged, QEMU runs as
        `run_as` (uid, gid), who must be able to read the node's files; the default is the owner of
        its console log. Raises NodeStartFailed or a subclass, which says what was in the way;
        nothing is left running then.
        """
        try:
            # A privileged libvirt would make it such that we couldn't read it.
            spec.console_log.touch(mode=0o600)
            owner = run_as or (spec.console_log.stat().st_uid, spec.console_log.stat().st_gid)
            # A restored node's CPUs must not run before its device state is loaded.
            paused = (
                libvirt.VIR_DOMAIN_START_PAUSED
                if spec.memory and spec.memory.use == "restore"
                else 0
            )
            xml = domain_xml(spec, run_as=owner if self._separates_users else None)
            # Not by `_ask`, which may ask twice: the first start may have succeeded.
            libvirtd = self._connection
            with_timeout(
                _START_TIMEOUT_S,
                lambda: libvirtd.createXML(xml, paused),
                # A domain that comes up after we gave up on it would run with nobody to end it.
                on_late=lambda domain: domain.destroy(),
            )
        except (OSError, TimeoutError, libvirt.libvirtError) as error:
            raise explain(str(error), spec, self.uri) from error

    def suspend(self, name: str) -> None:
        """Stop the node's CPUs; NodeGone if there is no such node."""
        self._ask(lambda libvirtd: libvirtd.lookupByName(name).suspend())

    def resume(self, name: str) -> None:
        """Let the node's CPUs run; NodeGone if there is no such node."""
        self._ask(lambda libvirtd: libvirtd.lookupByName(name).resume())

    def save_devices(self, name: str, path: Path) -> None:
        """Write the state of a suspended node's devices to the new file `path`.

        With its recorded memory file, that is all of the node. Raises SnapshotFailed or
        MonitorRefused.
        """
        self._stream(device_state.save_devices, name, path)

    def save_devices_at_once(self, name: str, path: Path) -> None:
        """Do that of a guest in virtual time, which has halted."""
        self._stream(device_state.save_devices_at_once, name, path)

    def load_devices(self, name: str, path: Path) -> None:
        """Give a node that was started to be restored the state of its devices from `path`.

        It is then as it was when it was saved, and paused. Raises SnapshotFailed or MonitorRefused.
        """
        self._stream(device_state.load_devices, name, path)

    def ask_monitor(
        self, name: str, execute: str, arguments: Mapping[str, object]
    ) -> dict[str, Any]:
        """Return the answer of a node's QEMU to a command of its monitor protocol.

        Raises MonitorRefused, or NodeGone.
        """
        return self._ask(
            lambda libvirtd: monitor.ask(libvirtd.lookupByName(name), execute, arguments)
        )

    def destroy(self, name: str) -> bool:
        """End the domain at once, as if its plug were pulled; return False if there was none."""
        return self._end(lambda libvirtd: libvirtd.lookupByName(name), name)

    def destroy_owned(self, domain: OwnedDomain) -> bool:
        """End exactly this domain, not one that has taken its name since.

        Returns False if there was none any more.
        """
        return self._end(
            lambda libvirtd: libvirtd.lookupByUUIDString(domain.uuid), domain.name, domain.uuid
        )

    def ours(self, wanted: Callable[[Lease], bool] = lambda _: True) -> list[OwnedDomain]:
        """Return the domains with a lease of ours for which `wanted` holds, sorted by name.

        Domains without a lease are foreign.
        """
        found = self._ask(lambda libvirtd: [_owned(domain) for domain in libvirtd.listAllDomains()])
        return sorted((one for one in found if one and wanted(one.lease)), key=lambda one: one.name)

    def guests(self) -> list[str]:
        """Return the names of all running domains, foreign ones included."""
        active = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
        return sorted(
            self._ask(
                lambda libvirtd: [domain.name() for domain in libvirtd.listAllDomains(active)]
            )
        )

    def networks(self) -> list[str]:
        """Return the names of libvirt's own networks that are active."""
        return sorted(self._ask(lambda libvirtd: libvirtd.listNetworks()))

    def renew(self, name: str, expires: int) -> Lease:
        """Let the lease of a running domain end at `expires` (Unix seconds) instead.

        Returns the new lease. Raises NodeGone, or HypervisorError if the domain isn't ours.
        """
        owned = self._ask(lambda libvirtd: _owned(libvirtd.lookupByName(name)))
        if owned is None:
            raise HypervisorError(f"the domain {name} has no lease of ours that could be renewed")
        lease = replace(owned.lease, expires=expires)
        # libvirt adds the namespace itself and wants the bare element.
        bare = ET.tostring(ET.Element("lease", lease_element(lease).attrib), encoding="unicode")
        kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        metadata = (kind, bare, LEASE_PREFIX, LEASE_NAMESPACE, live)
        self._ask(lambda libvirtd: libvirtd.lookupByName(name).setMetadata(*metadata))
        return lease

    def state(self, name: str) -> str:
        """Return the state of a domain.

        It is "running", "paused", "shutting down", "off", "crashed", "suspended", "halted" if the
        guest has stopped itself, or "gone" if there is no such domain.
        """
        try:
            state, why = self._ask(lambda libvirtd: libvirtd.lookupByName(name).state())
        except NodeGone:
            return "gone"
        return domain_state.in_words(state, why)

    def usage(self, name: str) -> NodeUsage:
        """Return what a running node has used so far; NodeGone if there is no such node."""
        # libvirt's info() is a bare list, whose fifth item is the CPU time in nanoseconds.
        nanoseconds = self._ask(lambda libvirtd: libvirtd.lookupByName(name).info())[4]
        resident_kib = self._ask(lambda libvirtd: libvirtd.lookupByName(name).memoryStats()).get(
            "rss", 0
        )
        return NodeUsage(cpu_seconds=nanoseconds / 1e9, resident_mib=resident_kib // 1024)

    @property
    def _connection(self) -> Any:
        # Threads may find it broken at once; one of them renews it.
        with self._reopening:
            if self._opened is None or not self._opened.isAlive():
                self._revive()
                self._opened = _open(self.uri, self._open_seconds)
            return self._opened

    def _end(self, find: Callable[[Any], Any], name: str, uuid: str | None = None) -> bool:
        def ended(libvirtd: Any) -> bool:
            try:
                find(libvirtd).destroy()
            except libvirt.libvirtError as error:
                # A transient domain that ends by itself in between is "not running" for a moment,
                # then unknown.
                if error.get_error_code() in (
                    libvirt.VIR_ERR_NO_DOMAIN,
                    libvirt.VIR_ERR_OPERATION_INVALID,
                ):
                    return False
                raise
            return True

        try:
            return self._ask(ended)
        except HypervisorError as error:
            # libvirt may hang or have lost the guest, but QEMU is a process that we can kill.
            if not _pull_plug(name, uuid):
                raise HypervisorError(f"the domain {name} can't be ended", str(error)) from error
        return True

    def _stream(self, stream: Callable[[Any, Path], None], name: str, path: Path) -> None:
        domain = self._ask(lambda libvirtd: libvirtd.lookupByName(name))
        try:
            with_timeout(
                device_state.STREAM_TIMEOUT_S + _ANSWER_TIMEOUT_S, lambda: stream(domain, path)
            )
        except TimeoutError as error:
            raise SnapshotFailed(f"{name}: QEMU's monitor doesn't answer", str(error)) from None

    @cached_property
    def _separates_users(self) -> bool:
        # True if file ownership is a security model of this libvirt: it can run QEMU as another
        # user than itself.
        description = self._ask(lambda libvirtd: libvirtd.getCapabilities())
        capabilities = ET.fromstring(description)  # noqa: S314 - libvirt's own text
        return any(model.text == "dac" for model in capabilities.iterfind("./host/secmodel/model"))

    def _ask(self, request: Callable[[Any], T]) -> T:
        # The request may be made twice: if the connection broke meanwhile, it is repeated over a
        # new one.
        libvirtd = self._connection
        try:
            return self._answer(request, libvirtd)
        except NodeGone:
            # This is an answer: nothing is wrong with the connection.
            raise
        except HypervisorError:
            # Over a connection that is alive, asking again would only give the same answer.
            if libvirtd.isAlive():
                raise
        return self._answer(request, self._connection)

    def _answer(self, request: Callable[[Any], T], libvirtd: Any) -> T:
        try:
            return with_timeout(_ANSWER_TIMEOUT_S, lambda: request(libvirtd))
        except TimeoutError as error:
            if self._opened is libvirtd:
                # A few requests without an answer are all that libvirt takes over one connection.
                self._opened = None
            raise HypervisorError(f"libvirt at {self.uri} does not answer", str(error)) from error
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise NodeGone(str(error)) from error
            raise HypervisorError(
                f"libvirt at {self.uri} has refused a request", str(error)
            ) from error


def _owned(domain: Any) -> OwnedDomain | None:
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, LEASE_NAMESPACE)
        return OwnedDomain(name=domain.name(), uuid=domain.UUIDString(), lease=parse_lease(text))
    except libvirt.libvirtError as error:
        # A domain may end between the listing and this question.
        if error.get_error_code() in (
            libvirt.VIR_ERR_NO_DOMAIN_METADATA,
            libvirt.VIR_ERR_NO_DOMAIN,
        ):
            return None
        raise
    except InvalidLease as error:
        _log.warning("the domain %s is left alone: %s", domain.name(), error)
        return None


def _pull_plug(name: str, uuid: str | None) -> bool:
    """Kill the QEMU of a domain that libvirt can't end; return True if one was found and is gone.

    With a UUID, only the QEMU of exactly that domain is killed.
    """

    def is_it(pid: int) -> bool:
        options = dict(pairwise(arguments(pid)))
        # With the comma, since one node's name may be the beginning of another's.
        return options.get("-name", "").startswith(f"guest={name},") and uuid in (
            None,
            options.get("-uuid"),
        )

    found = [pid for pid in psutil.pids() if is_it(pid)]
    return bool(found) and all(
        end(pid, is_it, [signal.SIGKILL], timeout_s=_KILL_TIMEOUT_S) for pid in found
    )


def _open(uri: str, timeout_s: float) -> Any:
    # libvirt prints every error to stderr otherwise.
    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        return with_timeout(timeout_s, lambda: libvirt.open(uri))
    except (TimeoutError, libvirt.libvirtError) as error:
        raise LibvirtUnreachable(
            f"libvirt does not answer at {uri}",
            str(error),
            'Start its daemon, correct hosts.*.uri, or set it to "private" for a libvirtd of our '
            "own.",
        ) from error


def _dotted(number: int) -> str:
    """Return libvirt's 9000000 as "9.0.0"."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}" if number else "unknown"
