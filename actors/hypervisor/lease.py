"""A lease: whose a domain and its files are, and until when.

It is written into both, so that anybody can clean up.
"""

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.hypervisor.errors import InvalidLease
from actors.hypervisor.process import boot_id, start_ticks
from campaign.schema.devices import PCI_PATTERN

# Campaign and trial names go into XML, folder names and log lines.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OWNER = re.compile(
    r"(?P<host>[^/\s]{1,128})/(?P<boot>[0-9a-f-]{36})/(?P<pid>[0-9]{1,10})/(?P<start>[0-9]{1,20})"
)


@dataclass(frozen=True)
class Owner:
    """The process that answers for a lease.

    `host` tells machines apart; `boot` and `start` (clock ticks since the boot) tell reused pids
    apart.
    """

    host: str
    boot: str
    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> "Owner":
        """Return the identity of a process of this machine; ProcessLookupError if it is gone."""
        start = start_ticks(pid)
        if start is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(host=_this_host(), boot=boot_id(), pid=pid, start=start)

    @classmethod
    def current(cls) -> "Owner":
        """Return the identity of the calling process."""
        return cls.of(os.getpid())

    @classmethod
    def parse(cls, text: str) -> "Owner":
        """Return the owner that `str` turned into `text`; InvalidLease if it is no such text."""
        match = _OWNER.fullmatch(text)
        if not match:
            raise InvalidLease("not the owner of a lease (HOST/BOOT/PID/START)", repr(text))
        return cls(
            host=match["host"], boot=match["boot"], pid=int(match["pid"]), start=int(match["start"])
        )

    def __str__(self) -> str:
        return f"{self.host}/{self.boot}/{self.pid}/{self.start}"

    def alive(self) -> bool:
        """Return True if the process still runs; one of another machine counts as alive."""
        # A process of another machine can't be seen from here, so only the expiry ends its leases.
        if self.host != _this_host():
            return True
        return self.boot == boot_id() and start_ticks(self.pid) == self.start


@dataclass(frozen=True)
class Lease:
    """The right of one trial to a domain and its files, until `expires` (Unix seconds).

    `devices` are the PCI addresses of what else of the host's it covers.
    """

    campaign: str
    trial: str
    expires: int
    owner: Owner
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, value in (("campaign", self.campaign), ("trial", self.trial)):
            if not _LABEL.fullmatch(value):
                raise InvalidLease(f"a lease's {field} must match {_LABEL.pattern}, not {value!r}")
        if self.expires <= 0:
            raise InvalidLease(f"a lease's expiry must be Unix seconds, not {self.expires}")
        if wrong := [one for one in self.devices if not re.fullmatch(PCI_PATTERN, one)]:
            raise InvalidLease(f"a lease's devices must be PCI addresses, not {wrong[0]!r}")

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Lease":
        """Return the lease with these fields; InvalidLease, which holds them, if one is wrong."""
        try:
            campaign = fields["campaign"]
            trial = fields["trial"]
            expires = int(fields["expires"])
            owner = Owner.parse(fields["owner"])
            devices = tuple(fields.get("devices", "").split())
            if not (isinstance(campaign, str) and isinstance(trial, str)):
                raise TypeError("campaign and trial must be text")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidLease(f"not a lease: {error!r}", repr(dict(fields))) from error
        return cls(campaign=campaign, trial=trial, expires=expires, owner=owner, devices=devices)

    def fields(self) -> dict[str, str]:
        """Return the lease as text: the attributes of its XML element, the keys of its file."""
        # asdict would take the owner apart; it is written as one text instead.
        fields = asdict(self) | {"owner": self.owner, "devices": " ".join(self.devices)}
        if not self.devices:
            del fields["devices"]
        return {name: str(value) for name, value in fields.items()}

    def expired(self, now: float) -> bool:
        """Return True if the lease is over at `now` (Unix seconds)."""
        return now >= self.expires

    def lapsed(self, now: float) -> bool:
        """Return True if what it covers may be removed: it is over, or its owner is dead."""
        return self.expired(now) or not self.owner.alive()


def _this_host() -> str:
    """Return a name for this machine that survives a reboot."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        # Containers often have no machine id.
        machine = ""
    # Containers of one image may share a machine id, and cloned machines a name; both together
    # differ.
    return re.sub(r"[^A-Za-z0-9.@_-]", "_", f"{socket.gethostname()}@{machine}")[:128]
