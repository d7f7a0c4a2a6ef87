"""A libvirtd of our own, for machines where none runs, with all that is its in one folder.

As root it gets a mount namespace in which libvirt's fixed folders are ours (`qemu:///system` seen
from inside); as another user the XDG variables say where its folders are (`qemu:///session`). It
runs detached: it outlives the process that started it, is found again by the next, and ends by
itself once nobody is connected and no guest runs. Guests outlive it: a restarted one takes them up
again.
"""

import fcntl
import hashlib
import logging
import os
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO

from actors.hypervisor import daemon_setup
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.errors import DaemonError, GuestsRunning, LibvirtUnreachable
from actors.hypervisor.process import arguments, end
from campaign.core import files

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 20.0
_LONGEST_SOCKET_PATH = 107  # a socket address holds 108 bytes, the last of which is 0
# The longest socket paths below our folder. For root, QEMU's monitors have short paths in the mount
# namespace; for others they are the longest (a domain's name is cut to 20 characters there; its id
# grows by one with every start).
_LONGEST_PRIVILEGED = "run/libvirt-sock-ro"
_LONGEST_UNPRIVILEGED = "config/libvirt/qemu/lib/domain-1000000-" + 20 * "x" + "/monitor.sock"


_log = logging.getLogger(__name__)
# The private libvirtds that this process uses, each by an open file that is locked for sharing.
_in_use: dict[Path, IO[str]] = {}


class PrivateLibvirtd:
    """The libvirtd that belongs to `state_dir`, running or not; one per folder and user.

    Where `state_dir` is too long for socket paths, a short folder among the temporary ones stands
    for it.
    """

    def __init__(self, state_dir: Path) -> None:
        self._privileged = os.geteuid() == 0
        self._child: subprocess.Popen[bytes] | None = None  # if we are the one that started it
        self.folder = short_folder(state_dir.absolute())
        self.log = self.folder / "libvirtd.log"
        self._pid_file = self.folder / "libvirtd.pid"
        # For root, `run` is mounted over /run/libvirt itself, hence one level less.
        self._socket = self.folder / ("run" if self._privileged else "run/libvirt") / "libvirt-sock"

    @property
    def uri(self) -> str:
        """The URI at which it answers, if it runs."""
        mode = "system" if self._privileged else "session"
        return f"qemu+unix:///{mode}?socket={self._socket}"

    def pid(self) -> int | None:
        """Return its process id, which is checked to be no reused one; None if it isn't running."""
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def start(self) -> str:
        """Start it, or find it running, and return the URI at which it answers.

        Raises DaemonError with the end of its log.
        """
        with self._exclusive():
            deadline = time.monotonic() + _START_TIMEOUT_S
            spawned = False
            while not self._answers():
                if not self._running():
                    if spawned:
                        raise self._failure("the private libvirtd ended at once")
                    daemon_setup.fill(self.folder, privileged=self._privileged)
                    # Only while none runs, since one that runs may be writing such files just now.
                    self._forget_unborn()
                    _log.debug("starting a private libvirtd in %s", self.folder)
                    self._child = self._spawn()
                    spawned = True
                if time.monotonic() > deadline:
                    raise self._failure(
                        f"the private libvirtd does not answer within {_START_TIMEOUT_S:g} s"
                    )
                time.sleep(0.05)
            # Before the lock is released: else another process could `stop` it in between.
            self._hold()
        return self.uri

    def stop(self) -> None:
        """End it and wait until it is gone; harmless if it does not run. Its logs stay.

        Nothing happens while another process that has started or found it lives. Raises
        GuestsRunning if it still runs guests, which would go on without anybody to end them.
        """
        with self._exclusive():
            pid = self.pid()
            if pid is None or self._used_by_others():
                return
            self._refuse_while_guests_run()
            self._end(pid)
            # Our own child stays a zombie until we have waited for it.
            if self._child:
                self._child.wait()

    def _hold(self) -> None:
        # Other processes see by this lock that we use it; the kernel drops it however we end. It is
        # a shared one, of which filelock knows nothing.
        if self.folder not in _in_use:
            users = (self.folder / "users").open("w")
            fcntl.flock(users, fcntl.LOCK_SH)
            _in_use[self.folder] = users

    def _used_by_others(self) -> bool:
        """Return True if another process holds it. Our own hold is given up."""
        # Locks of two open files exclude each other even within one process.
        if self.folder in _in_use:
            _in_use.pop(self.folder).close()
        with (self.folder / "users").open("w") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _is_ours(self, pid: int) -> bool:
        # Only our libvirtd has our pid file among its arguments.
        command = arguments(pid)
        return (
            any(Path(one).name == "libvirtd" for one in command[:1])
            and str(self._pid_file) in command
        )

    def _exclusive(self) -> AbstractContextManager[object]:
        daemon_setup.make_own_folder(self.folder)
        return files.exclusive_lock(self.folder / "lock")

    def _forget_unborn(self) -> None:
        """Remove what a killed libvirtd has written of guests whose QEMU it hadn't started yet.

        The next one takes them for guests that are being started (libvirt 9), and could neither
        start nor end them.
        """
        folder = daemon_setup.status_folder(self.folder, privileged=self._privileged)
        for status in folder.glob("*.xml"):
            # Best effort: a file that vanishes or can't be parsed is left for libvirtd to judge.
            with suppress(OSError, ET.ParseError):
                if ET.parse(status).getroot().get("pid") == "0":  # noqa: S314 - libvirt's own text
                    status.unlink()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        """Start it detached; nothing of ours but its log is left open in it."""
        with self.log.open("ab") as log:
            try:
                return subprocess.Popen(
                    daemon_setup.command(self.folder, self._pid_file, privileged=self._privileged),
                    env=os.environ
                    | daemon_setup.environment(self.folder, privileged=self._privileged),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # In the caller's folder, it would keep that file system from being unmounted.
                    cwd="/",
                    # In a session of its own, signals of the caller's terminal don't reach it.
                    start_new_session=True,
                )
            except OSError as error:
                raise DaemonError(
                    "a private libvirtd can't be started", str(error), daemon_setup.INSTALL
                ) from error

    def _running(self) -> bool:
        """Return True if one runs, or the one that we have started has yet to write its pid file.

        One that a killed process started just before us counts as well: ours then finds the pid
        file taken and ends.
        """
        return self.pid() is not None or (self._child is not None and self._child.poll() is None)

    def _answers(self) -> bool:
        return self._socket.exists() and answers(self.uri)

    def _refuse_while_guests_run(self) -> None:
        with Hypervisor(self.uri) as hypervisor:
            guests = hypervisor.guests()
        if guests:
            raise GuestsRunning(
                f"the private libvirtd in {self.folder} still runs {len(guests)} guests",
                ", ".join(guests),
                "Remove ours with: hpc-campaign clean",
            )

    def _end(self, pid: int) -> None:
        if not end(pid, self._is_ours, [signal.SIGTERM, signal.SIGKILL], timeout_s=_STOP_TIMEOUT_S):
            raise self._failure(f"the private libvirtd (pid {pid}) survives SIGKILL")

    def _failure(self, brief: str) -> DaemonError:
        try:
            tail = "\n".join(
                self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            )
        except OSError as error:
            tail = f"no log: {error}"
        return DaemonError(
            f"{brief}; its folder is {self.folder}", tail, f"Read its whole log: {self.log}"
        )


def choose_uri(setting: str, state_dir: Path) -> str:
    """Return the URI of the libvirt to use: a URI, "private" for our own libvirtd, or "auto".

    "auto" tries the system's libvirt, then the user's session, and starts a private one only where
    neither answers; sockets that do not exist are not tried, so nothing is started by asking.
    """
    if setting == "auto":
        for uri, sockets in _machine_libvirts():
            if any(socket.exists() for socket in sockets) and answers(uri):
                return uri
    if setting in ("auto", "private"):
        return PrivateLibvirtd(state_dir).start()
    return setting


def answers(uri: str, *, timeout_s: float = 5.0) -> bool:
    """Return True if a libvirt answers at `uri` within `timeout_s` and lets us in."""
    try:
        Hypervisor(uri, open_timeout_s=timeout_s).close()
    except LibvirtUnreachable:
        return False
    return True


def short_folder(state_dir: Path) -> Path:
    """Return `state_dir`/libvirt, or a temporary folder if socket paths below it were too long."""
    folder = state_dir / "libvirt"
    longest = _LONGEST_PRIVILEGED if os.geteuid() == 0 else _LONGEST_UNPRIVILEGED
    if len(os.fsencode(folder / longest)) <= _LONGEST_SOCKET_PATH:
        return folder
    # A hash gives the same name in every process, so that a running daemon is found again.
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"campaign-{os.geteuid()}-{digest}"


def _machine_libvirts() -> Iterator[tuple[str, list[Path]]]:
    # libvirt runs as one daemon for all drivers (libvirt-sock) or one per driver (virtqemud-sock).
    names = ("libvirt-sock", "virtqemud-sock")
    yield "qemu:///system", [Path("/run/libvirt") / name for name in names]
    if os.geteuid() != 0 and "XDG_RUNTIME_DIR" in os.environ:
        folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "libvirt"
        yield "qemu:///session", [folder / name for name in names]
