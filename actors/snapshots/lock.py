"""Who may make a golden cluster: a lock on its key, held by one owner over all hosts."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

LockState = Literal["free", "claimed", "held"]

CONFIRM_TIMEOUT_S = 30.0
"""How long a claim waits for claims of other hosts, which take a few requests to be decided."""
CONFIRM_POLL_S = 0.05

_log = logging.getLogger(__name__)


class LockPeer(Protocol):
    """Another host's lock, as this host asks it."""

    name: str

    def lock_state(self, key: str) -> LockState:
        """Return the state of `key` on that host; "free" if the host doesn't answer."""
        ...


@dataclass(frozen=True)
class _Entry:
    owner: str
    held: bool = False


class SnapshotLock:
    """The right to make a golden cluster, which one owner at a time has over all hosts.

    Each host has one of these objects and asks those of the other hosts, its peers. Together they
    are a distributed lock for every key, where a key is `SnapshotKey.digest`. On one host, a key
    goes through these states:

                  acquire: True             confirm: True
          free ------------------> claimed ---------------> held
           ^                          |                       |
           |      confirm: False      |                       |
           +--------------------------+                       |
           |      release, release_all_of                     |
           +--------------------------+-----------------------+

    `acquire` decides between the owners on this host: the first one gets the claim. `confirm`
    decides between the hosts that have a claim. It gives the claim up if another host holds the
    key, or has a claim and comes first by its name. It waits while a host that comes later by its
    name has a claim: that host may have looked before our claim was made, and hold the key in a
    moment. Every host makes its claim before it looks at the others, so of two hosts one sees the
    claim of the other, and never do two hold a key at once.

    An owner that has died is forgotten by `release_all_of`; then another one may take over. What
    the lock of a host says ends with the host's process, and a host that can't be reached counts as
    free: it is lost with all that it had. All methods may be called from several threads.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._peers: Sequence[LockPeer] = ()
        self._entries: dict[str, _Entry] = {}
        self._mutex = threading.Lock()

    def set_peers(self, peers: Sequence[LockPeer]) -> None:
        """Learn the locks of the other hosts, in place of those that were known before."""
        self._peers = tuple(peers)

    def state(self, key: str) -> LockState:
        """Return the state of `key` on this host."""
        with self._mutex:
            entry = self._entries.get(key)
        if entry is None:
            return "free"
        return "held" if entry.held else "claimed"

    def acquire(self, key: str, owner: str) -> bool:
        """Claim `key` for `owner`; return False if it isn't free on this host."""
        with self._mutex:
            if key in self._entries:
                return False
            self._entries[key] = _Entry(owner)
            return True

    def confirm(self, key: str, owner: str, *, timeout_s: float = CONFIRM_TIMEOUT_S) -> bool:
        """Hold `key`, which `owner` has claimed, unless another host has the better right to it.

        Returns False if it has, if the claims of other hosts aren't decided within `timeout_s`, or
        if the claim was released meanwhile; the key is free on this host then.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            # Asked without the mutex: peers ask us in turn, and two hosts would wait for each
            # other.
            states = {peer.name: peer.lock_state(key) for peer in self._peers}
            better = [
                name
                for name, state in states.items()
                if state == "held" or (state == "claimed" and name < self._host)
            ]
            undecided = [name for name, state in states.items() if state == "claimed"]
            if better or (undecided and time.monotonic() > deadline):
                _log.debug("golden cluster %s: host %s makes it", key, (better or undecided)[0])
                self.release(key, owner)
                return False
            if not undecided:
                return self._hold(key, owner)
            time.sleep(CONFIRM_POLL_S)

    def release(self, key: str, owner: str) -> None:
        """Free `key` if `owner` has it on this host; harmless otherwise."""
        with self._mutex:
            entry = self._entries.get(key)
            if entry is not None and entry.owner == owner:
                del self._entries[key]

    def release_all_of(self, owner: str) -> None:
        """Free every key that `owner`, who has died, has on this host."""
        with self._mutex:
            self._entries = {
                key: entry for key, entry in self._entries.items() if entry.owner != owner
            }

    def _hold(self, key: str, owner: str) -> bool:
        with self._mutex:
            entry = self._entries.get(key)
            if entry is None or entry.owner != owner:
                return False
            self._entries[key] = _Entry(owner, held=True)
            return True
