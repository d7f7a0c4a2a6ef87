"""Questions and orders to a node's systemd, as commands for many units at once."""

import shlex
from collections.abc import Sequence


def all_active(units: Sequence[str]) -> tuple[str, ...]:
    """Return the command that exits 0 while every unit is active, and prints those that are not.

    `systemctl is-active` alone exits 0 as soon as one of several units is active. Asking for each
    by itself would start as many programs, and those take time on an emulated node.
    """
    asked = tuple(dict.fromkeys(units))
    names = shlex.join(asked)
    lines = (
        f"mapfile -t states < <(systemctl is-active {names})",
        f"units=({names})",
        "dead=0",
        # A unit whose state isn't told is not alive either.
        'for at in "${!units[@]}"; do case ${states[at]-} in active|reloading|refreshing) ;; '
        '*) echo "${units[at]}: ${states[at]-unknown}"; dead=1 ;; esac; done',
        "exit $dead",
    )
    return ("bash", "-c", "; ".join(lines))


def stop(units: Sequence[str]) -> tuple[str, ...]:
    """Return the command that stops all of these units."""
    return ("systemctl", "stop", *dict.fromkeys(units))
