"""Commands made of commands, for adapters."""

import shlex
from collections.abc import Sequence


def prints_nothing(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that exits 0 where `command` prints nothing, 1 where it prints something.

    It exits 2 where `command` fails.
    """
    return ("bash", "-c", f"printed=$({shlex.join(command)}) || exit 2; [[ -z $printed ]]")
