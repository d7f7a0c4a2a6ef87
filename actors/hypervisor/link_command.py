"""Runs commands of iproute2 on the host's network links."""

import shutil
import subprocess

from actors.hypervisor.errors import NetworkUnusable
from campaign.core.errors import command_failed

COMMAND_TIMEOUT_S = 20.0


def program(name: str) -> str:
    """Return the path of a program; the PATH of ordinary users often lacks the sbin folders."""
    return shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin") or name


def run(name: str, *arguments: object, fix: str) -> None:
    """Run a command; NetworkUnusable says what was in the way, and `fix` how to mend it."""
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
