"""Commands made of commands, for adapters."""

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaign.core.jobs import Job

NATIVE_ID = re.compile(r"@native-id-of:(\d+)@")
"""What stands in a command for the native id of a job that was submitted before."""

_KINDS = {
    "after": "after",
    "afternotok": "afternotok",
    "afterok": "afterok",
    "aftercorr": "afterok",
}


def prints_nothing(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that exits 0 where `command` prints nothing, 1 where it prints something.

    It exits 2 where `command` fails.
    """
    return ("bash", "-c", f"printed=$({shlex.join(command)}) || exit 2; [[ -z $printed ]]")


def native_id_of(job_id: int) -> str:
    """Return what stands for a job's native id in a command that submits another one.

    Whoever runs the command puts it in; a job that was refused has none, and leaves nothing.
    """
    return f"@native-id-of:{job_id}@"


def dependency_kind(job: "Job") -> str:
    """Return what Slurm and Flux call the kind of the job's dependencies.

    Those of an array's tasks are of single jobs here.
    """
    return _KINDS.get(job.traits.after_kind or "", "afterany")


def as_user(uid: int, command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that root runs as this user of a node, and of the group so numbered."""
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *command)
