"""A lease: whose a domain and its files are, and until when; written into both, so that anybody can
clean up."""

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.hypervisor.errors import InvalidLease
from actors.hypervisor.process import boot_id, start_ticks

# Campaign and trial names go into XML, folder names and log lines.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OWNER = re.compile(
    r"(?P<host>[^/\s]{1,128})/(?P<boot>[0-9a-f-]{36})/(?P<pid>[0-9]{1,10})/(?P<start>[0-9]{1,20})"
)


@dataclass(frozen=True)
class Owner:
    """The process that answers for a lease. `host` tells machines apart, `boot` and `start` tell
    reused pids apart."""

    host: str
    boot: str
    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> "Owner":
        """The owner identity of a process of this machine; `ProcessLookupError` if there is
        none."""
        start = start_ticks(pid)
        if start is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(host=_this_host(), boot=boot_id(), pid=pid, start=start)

    @classmethod
    def current(cls) -> "Owner":
        """The calling process."""
        return cls.of(os.getpid())

    @classmethod
    def parse(cls, text: str) -> "Owner":
        """The inverse of `str`; `InvalidLease` for anything else."""
        match = _OWNER.fullmatch(text)
        if not match:
            raise InvalidLease("not the owner of a lease (HOST/BOOT/PID/START)", repr(text))
        return cls(
            host=match["host"], boot=match["boot"], pid=int(match["pid"]), start=int(match["start"])
        )

    def __str__(self) -> str:
        return f"{self.host}/{self.boot}/{self.pid}/{self.start}"

    def alive(self) -> bool:
        """Whether the process still runs. One of another machine can't be judged and counts as
        alive."""
        if self.host != _this_host():
            return True
        return self.boot == boot_id() and start_ticks(self.pid) == self.start


@dataclass(frozen=True)
class Lease:
    """The right of one trial to a domain and its files, until `expires` (unix seconds)."""

    campaign: str
    trial: str
    expires: int
    owner: Owner

    def __post_init__(self) -> None:
        for field, value in (("campaign", self.campaign), ("trial", self.trial)):
            if not _LABEL.fullmatch(value):
                raise InvalidLease(f"a lease's {field} must match {_LABEL.pattern}, not {value!r}")
        if self.expires <= 0:
            raise InvalidLease(f"a lease's expiry must be unix seconds, not {self.expires}")

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Lease":
        """A lease out of the fields that `fields` gives; `InvalidLease` holding the raw text if one
        is off."""
        try:
            campaign = fields["campaign"]
            trial = fields["trial"]
            expires = int(fields["expires"])
            owner = Owner.parse(fields["owner"])
            if not (isinstance(campaign, str) and isinstance(trial, str)):
                raise TypeError("campaign and trial must be text")
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidLease(f"not a lease: {error!r}", repr(dict(fields))) from error
        return cls(campaign=campaign, trial=trial, expires=expires, owner=owner)

    def fields(self) -> dict[str, str]:
        """The lease as text fields: the attributes of its XML element and the keys of its JSON
        file."""
        return {name: str(value) for name, value in (asdict(self) | {"owner": self.owner}).items()}

    def expired(self, now: float) -> bool:
        """Whether the lease is over at `now` (unix seconds)."""
        return now >= self.expires

    def lapsed(self, now: float) -> bool:
        """Whether what it covers may be removed: it is over, or nobody answers for it any more."""
        return self.expired(now) or not self.owner.alive()


def _this_host() -> str:
    """A name for this machine that survives a reboot: host name and machine id, where it has
    one."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = ""
    return re.sub(r"[^A-Za-z0-9.@_-]", "_", f"{socket.gethostname()}@{machine}")[:128]
