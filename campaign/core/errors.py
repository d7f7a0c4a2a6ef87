"""The errors of the project, one tree; each says what went wrong, where, and how to mend it.

    CampaignError                 anything we can explain; ends a command with exit status 2
    ├── ConfigError               a setting is wrong: nothing was started
    ├── WorkloadError             a workload can't be read: nothing was started
    ├── ImageError                an image is missing, damaged or can't be built
    ├── LedgerError               results on disk don't fit what is asked
    └── TrialError                a trial went wrong; the class says what the trial's outcome is
        ├── InfrastructureError   the platform failed (libvirt, VM, SSH, disk); worth another
        attempt
        │   └── CapacityError     it doesn't fit on the host: another attempt won't help
        ├── SchedulerError        the scheduler refused its settings or died
        └── StallError            jobs wait, and nothing starts or ends any more

Errors cross process borders (Ray pickles them), so all their data are positional arguments.
"""

import shlex
from collections.abc import Sequence

OUTPUT_TAIL = 2000
"""Of a failed command's output, errors keep this many characters, the last ones."""
COMMAND_HEAD = 300
"""Of a failed command itself, errors keep this many characters, the first ones."""


class CampaignError(Exception):
    """An error a user can act upon.

    `brief` is one line: what, where, which value. `details` is evidence (a console tail, a tool's
    output). `resolution` says how to mend it.
    """

    def __init__(self, brief: str, details: str = "", resolution: str = "") -> None:
        super().__init__(brief, details, resolution)
        self.brief = brief
        self.details = details
        self.resolution = resolution

    def __str__(self) -> str:
        return "\n".join(part for part in (self.brief, self.details, self.resolution) if part)


class ConfigError(CampaignError):
    """A setting is wrong; nothing was started."""


class WorkloadError(CampaignError):
    """A workload can't be read or doesn't fit the cluster; nothing was started."""


class ImageError(CampaignError):
    """An image bundle is missing, damaged, or can't be built."""


class LedgerError(CampaignError):
    """The results folder holds something else than the campaign that was asked for."""


class TrialError(CampaignError):
    """A trial went wrong; the subclass decides its outcome."""


class InfrastructureError(TrialError):
    """The platform failed: libvirt, a VM, SSH, a disk. The trial may be tried again."""


class CapacityError(InfrastructureError):
    """What was asked for doesn't fit on the host; trying again won't help."""


class SchedulerError(TrialError):
    """The scheduler refused its settings, or one of its daemons died."""


class StallError(TrialError):
    """Jobs wait, and nothing starts or ends any more."""


def command_failed(command: Sequence[str] | str, status: int | None, output: str) -> str:
    """Return the details of an error that a failed command is: command, exit status, output.

    These are always three parts, each on a line that begins with its name. `status` is None for a
    command that was ended because its time was over, and negative for one that a signal ended, as
    in `subprocess`. Of a long command the beginning is kept, of a
    long output the end.
    """
    line = command if isinstance(command, str) else shlex.join(command)
    line = line if len(line) <= COMMAND_HEAD else f"{line[:COMMAND_HEAD]}..."
    if status is None:
        ended = "none: it was ended because its time was over"
    elif status < 0:
        ended = f"none: it was ended by signal {-status}"
    else:
        ended = str(status)
    return f"command: {line}\nexit status: {ended}\noutput: {output_tail(output) or '(none)'}"


def output_tail(output: str) -> str:
    """Return the end of an output, at most OUTPUT_TAIL characters, without surrounding space."""
    text = output.strip()
    return text if len(text) <= OUTPUT_TAIL else f"...{text[-OUTPUT_TAIL:]}"
