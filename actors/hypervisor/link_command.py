"""Runs commands of iproute2 on the host's network links."""

import json
import shutil
import subprocess

from actors.hypervisor.errors import NetworkUnusable
from campaign.core.errors import command_failed

COMMAND_TIMEOUT_S = 20.0


def program(name: str) -> str:
    """Return the path of a program; the PATH of ordinary users often lacks the sbin folders."""
    return shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin") or name


def links(kind: str = "") -> list[str]:
    """Return the names of the network links that this process sees, of one kind or all.

    The kernel's files below /sys may show those of another network namespace. Raises
    NetworkUnusable.
    """
    wanted = ("type", kind) if kind else ()
    shown = run("ip", "-json", "link", "show", *wanted, fix="Install iproute2.")
    # Links of other kinds are empty objects.
    return [one["ifname"] for one in json.loads(shown or "[]") if "ifname" in one]


def run(name: str, *arguments: object, fix: str) -> str:
    """Run a command, and return what it prints.

    NetworkUnusable says what was in the way, and `fix` how to mend it.
    """
    command = (program(name), *map(str, arguments))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkUnusable(f"`{' '.join(command)}` can't be run", str(error), fix) from None
    if done.returncode:
        details = command_failed(command, done.returncode, done.stderr)
        raise NetworkUnusable(f"`{' '.join(command)}` failed", details, fix)
    return done.stdout
