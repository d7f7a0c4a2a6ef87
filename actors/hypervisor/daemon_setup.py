"""How a private libvirtd is set up: its folders, its configuration, its command and environment.

Nothing runs here. `PrivateLibvirtd` says what a private libvirtd is.
"""

import grp
import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path

from actors.hypervisor.errors import DaemonError

INSTALL = (
    "Install libvirt's daemon (Debian: libvirt-daemon libvirt-daemon-driver-qemu) and util-linux."
)

_IDLE_TIMEOUT_S = 300
# Nobody else can open the sockets, so libvirt needn't ask polkit, which is its default.
_LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
"""
# Root's QEMU stays root, confined by seccomp alone: another user could read neither the credentials
# nor anything below a folder that is root's alone. Who wants more separation runs the project as an
# ordinary user.
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
# need makes. Where it is missing, our libvirtd alone sees it; nothing runs as it.
_QEMU_USER = "libvirt-qemu"
_QEMU_ACCOUNT = {
    "passwd": f"{_QEMU_USER}:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
    "group": f"{_QEMU_USER}:x:65534:\n",
}


def make_own_folder(folder: Path) -> None:
    """Make the folder, for us alone.

    Raises DaemonError if it is somebody else's, as one in a shared place could be.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise DaemonError(
            f"the folder {folder} for a private libvirtd can't be made", str(error)
        ) from error
    if status.st_uid != os.geteuid() or folder.is_symlink():
        raise DaemonError(f"the folder {folder} for a private libvirtd belongs to somebody else")
    # mkdir leaves the mode of an existing folder as it was.
    folder.chmod(0o700)


def fill(folder: Path, *, privileged: bool) -> None:
    """Write the folders and the configuration of a libvirtd into `folder`.

    Raises DaemonError if they can't be written.
    """
    configuration = _configuration(folder, privileged=privileged)
    qemu = _QEMU_CONF + (_PRIVILEGED_QEMU_CONF if privileged else "")
    try:
        for name in ("run", "lib", "etc", "cache", "log", "config/libvirt"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (configuration / "libvirtd.conf").write_text(_LIBVIRTD_CONF, encoding="ascii")
        (configuration / "qemu.conf").write_text(qemu, encoding="ascii")
        for name in _missing_accounts():
            known = Path("/etc", name).read_bytes()
            account = _QEMU_ACCOUNT[name].encode()
            # If the last line of the machine's file had no newline, ours would become a part of it.
            (folder / name).write_bytes(known.rstrip(b"\n") + b"\n" + account)
    except OSError as error:
        raise DaemonError(
            f"the folder {folder} for a private libvirtd can't be filled", str(error)
        ) from error


def command(folder: Path, pid_file: Path, *, privileged: bool) -> list[str]:
    """Return the command that runs a libvirtd in `folder`; DaemonError if none is installed."""
    # The PATH of ordinary users often lacks the sbin folders.
    libvirtd = shutil.which(
        "libvirtd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    )
    if libvirtd is None:
        raise DaemonError(
            "no libvirtd is installed", "it is neither on PATH nor in /usr/sbin", INSTALL
        )
    configuration = _configuration(folder, privileged=privileged) / "libvirtd.conf"
    daemon = [*_child_reaper(), libvirtd, "--config", str(configuration)]
    daemon += ["--pid-file", str(pid_file), "--timeout", str(_IDLE_TIMEOUT_S)]
    if not privileged:
        return daemon
    places = _LIBVIRT_PLACES | {name: f"/etc/{name}" for name in _missing_accounts()}
    pairs = [str(part) for name, place in places.items() for part in (folder / name, place)]
    # With "slave", later mounts of the machine still appear inside, but ours never appear outside.
    namespace = ["unshare", "--mount", "--propagation", "slave", "--"]
    return [*namespace, "sh", "-c", _IN_PRIVATE_FOLDERS, "sh", *pairs, "--", *daemon]


def environment(folder: Path, *, privileged: bool) -> dict[str, str]:
    """Return the variables that tell an unprivileged libvirtd where its folders are."""
    if privileged:
        return {}
    places = {
        "RUNTIME_DIR": "run",
        "CONFIG_HOME": "config",
        "CACHE_HOME": "cache",
        "DATA_HOME": "lib",
    }
    return {f"XDG_{variable}": str(folder / name) for variable, name in places.items()}


def status_folder(folder: Path, *, privileged: bool) -> Path:
    """Return where libvirtd keeps what it must know of running guests to take them up again."""
    return folder / ("run/qemu" if privileged else "run/libvirt/qemu/run")


def _configuration(folder: Path, *, privileged: bool) -> Path:
    return folder / ("etc" if privileged else "config/libvirt")


def _child_reaper() -> list[str]:
    # A guest's parent is gone, so it is init's to wait for an ended guest. In a container that may
    # take seconds or for ever, and libvirt counts a guest as alive until then.
    tini = shutil.which("tini")
    # With -s, orphaned guests fall to tini though it isn't process 1 (it is their "subreaper").
    return [tini, "-s", "--"] if tini else []


def _missing_accounts() -> list[str]:
    """Return those of `passwd` and `group` that lack libvirt's QEMU user."""
    lookups: dict[str, Callable[[str], object]] = {"passwd": pwd.getpwnam, "group": grp.getgrnam}
    return [name for name, lookup in lookups.items() if not _knows(lookup, _QEMU_USER)]


def _knows(lookup: Callable[[str], object], name: str) -> bool:
    try:
        lookup(name)
    except KeyError:
        return False
    return True
