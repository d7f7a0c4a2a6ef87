"""A systemd that runs exactly the units that it is told.

Health checks are run on it, to see which daemons they ask for.
"""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

_COMMAND_TIMEOUT_S = 20.0
# As the real one: several units are active as soon as one of them is.
_SYSTEMCTL = """\
#!/bin/bash
[[ $1 == is-active ]] || { echo "Unknown command verb $1." >&2; exit 1; }
shift
quiet= status=3
for unit; do
    case $unit in
    --quiet | -q) quiet=yes; continue ;;
    *.*) ;;
    *) unit=$unit.service ;;
    esac
    state=inactive
    if grep -qxF -- "$unit" "$FAKE_SYSTEMD_UNITS"; then state=active status=0; fi
    [[ $quiet ]] || echo "$state"
done
exit $status
"""


class FakeSystemd:
    """A node of which nothing is there but `systemctl is-active`, and a shell to ask it from.

    A context manager: its programs stand in a folder of their own, which goes at the end.
    """

    def __init__(self) -> None:
        from tempfile import TemporaryDirectory

        self._folder = TemporaryDirectory(prefix="systemd-")

    def __enter__(self) -> Self:
        program = self._place / "systemctl"
        program.write_text(_SYSTEMCTL, encoding="utf-8")
        program.chmod(0o755)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def succeeds(self, command: tuple[str, ...], running: Collection[str]) -> bool:
        """Return True if a command exits 0 while exactly the units `running` are active."""
        try:
            return self.run(command, running).returncode == 0
        except FileNotFoundError:  # the node has no such program
            return False

    def run(
        self, command: tuple[str, ...], running: Collection[str]
    ) -> "subprocess.CompletedProcess[str]":
        """Return how a command ends while exactly the units `running` are active."""
        units = self._place / "units"
        units.write_text("".join(f"{unit}\n" for unit in running), encoding="utf-8")
        # First in PATH, so that it is found before the machine's own systemctl.
        folders = (str(self._place), "/usr/bin", "/bin")
        return subprocess.run(
            command,
            env={"PATH": os.pathsep.join(folders), "FAKE_SYSTEMD_UNITS": str(units)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
            text=True,
        )

    @property
    def _place(self) -> Path:
        return Path(self._folder.name)
