"""A libvirtd of our own, for machines where none runs: its sockets, state, configuration and logs
in one folder.

As root it gets a mount namespace in which libvirt's fixed folders are ours (`qemu:///system` seen
from inside); as another user the XDG variables say where its folders are (`qemu:///session`). It
runs detached: it outlives the process that started it, is found again by the next, and ends by
itself once nobody is connected and no guest runs. Guests outlive it: a restarted one takes them up
again.
"""

import fcntl
import grp
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.errors import DaemonError, GuestsRunning, LibvirtUnreachable
from actors.hypervisor.process import arguments, end

_IDLE_SECONDS = 300
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_LONGEST_SOCKET_PATH = 107  # a socket address holds 108 bytes, the last of which is 0
# The longest socket paths below our folder. For root, QEMU's monitors have short paths in the mount
# namespace; for
# others they are the longest (a domain's name is cut to 20 characters there; its id grows by one
# with every start).
_LONGEST_PRIVILEGED = "run/libvirt-sock-ro"
_LONGEST_UNPRIVILEGED = "config/libvirt/qemu/lib/domain-1000000-" + 20 * "x" + "/monitor.sock"

_LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
"""
# Root's QEMU stays root, confined by seccomp alone: another user could read neither the credentials
# nor anything below
# a folder that is root's alone. Who wants more separation runs the project as an ordinary user.
_PRIVILEGED_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
"""
# Else a virtlogd, which nobody ends, is started for the consoles.
_QEMU_CONF = 'stdio_handler = "file"\n'
# The arguments are pairs of a private folder or file and the one that it replaces, up to "--".
_IN_PRIVATE_FOLDERS = """\
set -e
while [ "$1" != -- ]; do
    [ -e "$2" ] || mkdir -p "$2"
    mount --bind "$1" "$2"
    shift 2
done
shift
exec "$@"
"""
_LIBVIRT_PLACES = {
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "etc": "/etc/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}
# Debian 12's libvirtd starts for root only where this user exists, which a package that we don't
# need makes. Where it
# is missing, our libvirtd alone sees it; nothing runs as it.
_QEMU_USER = "libvirt-qemu"
_QEMU_ACCOUNT = {
    "passwd": f"{_QEMU_USER}:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
    "group": f"{_QEMU_USER}:x:65534:\n",
}
# Which private libvirtds this process uses, each by an open file that is locked for sharing.
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
        self._socket = self.folder / ("run" if self._privileged else "run/libvirt") / "libvirt-sock"

    @property
    def uri(self) -> str:
        """Where it answers, if it runs."""
        mode = "system" if self._privileged else "session"
        return f"qemu+unix:///{mode}?socket={self._socket}"

    def pid(self) -> int | None:
        """Its process id, checked to be really ours and not a reused number; None if it does not
        run."""
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def start(self) -> str:
        """Start it, or find it running; its URI, at which it answers. `DaemonError` holds the tail
        of its log."""
        with self._lock():
            deadline = time.monotonic() + _START_SECONDS
            spawned = False
            while not self._answers():
                if not self._running():
                    if spawned:
                        raise self._failure("the private libvirtd ends at once")
                    self._prepare_folders()
                    self._forget_unborn()
                    self._child = self._spawn()
                    spawned = True
                if time.monotonic() > deadline:
                    raise self._failure(
                        f"the private libvirtd does not answer within {_START_SECONDS:g} s"
                    )
                time.sleep(0.05)
            self._hold()
        return self.uri

    def stop(self) -> None:
        """End it and wait until it is gone; harmless if it does not run. Its logs stay.

        It is left to those who need it: nothing happens while another process that has started or
        found it lives, and `GuestsRunning` is raised if it still runs guests, which would go on
        without anybody to end them.
        """
        with self._lock():
            pid = self.pid()
            if pid is None or self._used_by_others():
                return
            self._refuse_while_guests_run()
            self._end(pid)
            if self._child:
                self._child.wait()

    def _hold(self) -> None:
        """Show to other processes, for as long as we live, that we use it; the kernel ends that
        however we end."""
        if self.folder not in _in_use:
            users = (self.folder / "users").open("w")
            fcntl.flock(users, fcntl.LOCK_SH)
            _in_use[self.folder] = users

    def _used_by_others(self) -> bool:
        """Whether a process other than ours holds it. Our own hold is given up."""
        if self.folder in _in_use:
            _in_use.pop(self.folder).close()
        with (self.folder / "users").open("w") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _is_ours(self, pid: int) -> bool:
        """Only our libvirtd has our pid file among its arguments."""
        command = arguments(pid)
        return (
            any(Path(one).name == "libvirtd" for one in command[:1])
            and str(self._pid_file) in command
        )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        _own_folder(self.folder)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prepare_folders(self) -> None:
        configuration = self.folder / ("etc" if self._privileged else "config/libvirt")
        qemu = _QEMU_CONF + (_PRIVILEGED_QEMU_CONF if self._privileged else "")
        try:
            for folder in ("run", "lib", "etc", "cache", "log", "config/libvirt"):
                (self.folder / folder).mkdir(parents=True, exist_ok=True)
            (configuration / "libvirtd.conf").write_text(_LIBVIRTD_CONF, encoding="ascii")
            (configuration / "qemu.conf").write_text(qemu, encoding="ascii")
            for name in _missing_accounts():
                known = Path("/etc", name).read_bytes()
                (self.folder / name).write_bytes(
                    known.rstrip(b"\n") + b"\n" + _QEMU_ACCOUNT[name].encode()
                )
        except OSError as error:
            raise DaemonError(
                f"the folder {self.folder} for a private libvirtd can't be filled", str(error)
            ) from error

    def _forget_unborn(self) -> None:
        """Remove what a killed libvirtd has written of guests whose QEMU it hadn't started yet.

        The next one takes them for guests that are being started (libvirt 9), and could neither
        start nor end them.
        """
        for status in (self.folder / _status_folder(self._privileged)).glob("*.xml"):
            with suppress(OSError, ET.ParseError):
                if ET.parse(status).getroot().get("pid") == "0":  # noqa: S314 - libvirt's own text
                    status.unlink()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        """Start it detached; nothing of ours but its log is left open in it."""
        with self.log.open("ab") as log:
            try:
                return subprocess.Popen(
                    self._command(),
                    env=os.environ | self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise DaemonError(
                    "a private libvirtd can't be started", str(error), _INSTALL
                ) from error

    def _command(self) -> list[str]:
        libvirtd = shutil.which(
            "libvirtd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
        )
        if libvirtd is None:
            raise DaemonError(
                "no libvirtd is installed", "it is neither on PATH nor in /usr/sbin", _INSTALL
            )
        configuration = (
            self.folder / ("etc" if self._privileged else "config/libvirt") / "libvirtd.conf"
        )
        daemon = [
            *_reaper(),
            libvirtd,
            "--config",
            str(configuration),
            "--pid-file",
            str(self._pid_file),
        ]
        daemon += ["--timeout", str(_IDLE_SECONDS)]
        if not self._privileged:
            return daemon
        places = _LIBVIRT_PLACES | {name: f"/etc/{name}" for name in _missing_accounts()}
        pairs = [
            str(part) for name, place in places.items() for part in (self.folder / name, place)
        ]
        return [
            "unshare",
            "--mount",
            "--propagation",
            "slave",
            "--",
            "sh",
            "-c",
            _IN_PRIVATE_FOLDERS,
            "sh",
            *pairs,
            "--",
            *daemon,
        ]

    def _environment(self) -> dict[str, str]:
        if self._privileged:
            return {}
        places = {
            "RUNTIME_DIR": "run",
            "CONFIG_HOME": "config",
            "CACHE_HOME": "cache",
            "DATA_HOME": "lib",
        }
        return {f"XDG_{variable}": str(self.folder / name) for variable, name in places.items()}

    def _running(self) -> bool:
        """Whether one runs, or the one that we have started is on its way to writing its pid file.

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
                "remove ours with: python -m campaign clean",
            )

    def _end(self, pid: int) -> None:
        if not end(pid, self._is_ours, [signal.SIGTERM, signal.SIGKILL], seconds=_STOP_SECONDS):
            raise self._failure(f"the private libvirtd (pid {pid}) survives SIGKILL")

    def _failure(self, brief: str) -> DaemonError:
        try:
            tail = "\n".join(
                self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            )
        except OSError as error:
            tail = f"no log: {error}"
        return DaemonError(
            f"{brief}; its folder is {self.folder}", tail, f"its whole log is {self.log}"
        )


def _reaper() -> list[str]:
    """What to start libvirtd under so that ended guests are waited for at once.

    A guest's parent is gone, so that is init's to do. In a container that may take seconds or for
    ever, and libvirt counts a guest as alive until then.
    """
    tini = shutil.which("tini")
    return [tini, "-s", "--"] if tini else []


def _status_folder(privileged: bool) -> str:
    """Where libvirtd writes down what it must know of running guests to take them up again, below
    its folder."""
    return "run/qemu" if privileged else "run/libvirt/qemu/run"


_INSTALL = (
    "install libvirt's daemon (Debian: libvirt-daemon libvirt-daemon-driver-qemu) and util-linux"
)


def choose_uri(setting: str, state_dir: Path) -> str:
    """The libvirt to use: a URI as it is, "private" for our own libvirtd, and "auto" for the
    machine's, if one answers.

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


def answers(uri: str, *, seconds: float = 5.0) -> bool:
    """Whether a libvirt answers at `uri` within `seconds`, and lets us in."""
    try:
        Hypervisor(uri, open_seconds=seconds).close()
    except LibvirtUnreachable:
        return False
    return True


def short_folder(state_dir: Path) -> Path:
    """`state_dir`/libvirt, or a short folder among the temporary ones if socket paths below that
    would be too long."""
    folder = state_dir / "libvirt"
    longest = _LONGEST_PRIVILEGED if os.geteuid() == 0 else _LONGEST_UNPRIVILEGED
    if len(os.fsencode(folder / longest)) <= _LONGEST_SOCKET_PATH:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"campaign-{os.geteuid()}-{digest}"


def _missing_accounts() -> list[str]:
    """Which of `passwd` and `group` lack libvirt's QEMU user."""
    lookups: dict[str, Callable[[str], object]] = {"passwd": pwd.getpwnam, "group": grp.getgrnam}
    return [name for name, lookup in lookups.items() if not _knows(lookup, _QEMU_USER)]


def _knows(lookup: Callable[[str], object], name: str) -> bool:
    try:
        lookup(name)
    except KeyError:
        return False
    return True


def _machine_libvirts() -> Iterator[tuple[str, list[Path]]]:
    names = ("libvirt-sock", "virtqemud-sock")
    yield "qemu:///system", [Path("/run/libvirt") / name for name in names]
    if os.geteuid() != 0 and "XDG_RUNTIME_DIR" in os.environ:
        folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "libvirt"
        yield "qemu:///session", [folder / name for name in names]


def _own_folder(folder: Path) -> None:
    """Make the folder ours alone; `DaemonError` if it is somebody else's, as one in a shared place
    could be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise DaemonError(
            f"the folder {folder} for a private libvirtd can't be made", str(error)
        ) from error
    if status.st_uid != os.geteuid() or folder.is_symlink():
        raise DaemonError(f"the folder {folder} for a private libvirtd belongs to somebody else")
    folder.chmod(0o700)
