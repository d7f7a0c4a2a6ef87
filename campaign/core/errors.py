"""The errors of the project, one tree; each says what went wrong, where, and how to fix it.

Errors of other modules are drawn too; a test compares the drawing with the classes. Behind a name,
`*` marks an error that another attempt may not meet: its `retryable` is true.

    CampaignError                     anything we can explain; ends a command with exit status 2
    ├── UsageError                    a command line asks for what can't be done
    ├── ConfigError                   a setting is wrong: nothing was started
    ├── CommandFileError              the file of operator commands has a line that is none
    ├── WorkloadError                 a workload can't be read or used: nothing was started
    ├── ImageError                    an image is missing, damaged or can't be built
    │   ├── MissingImageError         the store has no such bundle
    │   ├── DamagedImageError *       a bundle's file is gone or altered; another host has its own
    │   └── LockDriftError            the mirror no longer has what the lock names
    ├── LedgerError                   results on disk don't fit what is asked
    ├── StorageError                  the disk doesn't take the results
    ├── GaveUpError                   too many attempts in a row failed
    ├── TrackingError                 MLflow's store can't be opened, written or shown
    ├── BenchmarkError                a benchmark measured nothing that can be compared
    ├── GoldenError *                 a golden cluster can't be kept or used
    │   ├── GoldenDamaged *           what stands under its name isn't what was put there
    │   ├── GoldenGone *              it has been evicted, discarded or replaced meanwhile
    │   └── GoldenStoreFull *         its store's disk has no room
    └── TrialError                    a trial went wrong; `outcome` says what the trial came to
        ├── InfrastructureError *     the platform failed (libvirt, VM, SSH, disk)
        │   ├── CapacityError *       there is no room on the host as it is used now
        │   │   └── NotEnoughPorts *  fewer free ports in the range than nodes to start
        │   ├── HypervisorError *     the hypervisor, or what was asked of it, failed
        │   │   ├── LibvirtUnreachable *  no libvirt answers at the URI
        │   │   ├── DaemonError *     the private libvirtd does not start, answer or stop
        │   │   ├── GuestsRunning *   the private libvirtd still runs guests, so it is not ended
        │   │   ├── InvalidNodeSpec   a node was described wrongly: the same will always fail
        │   │   ├── InvalidLease *    text that should be a lease is none
        │   │   ├── NodeStartFailed *     libvirt refused to start a node
        │   │   │   ├── PortInUse *   somebody else listens on the node's SSH port
        │   │   │   ├── NodeNameTaken *   a domain of that name exists
        │   │   │   ├── FileUnusable *    a file of the node is missing or can't be read
        │   │   │   ├── DiskFull *    there is no space left where libvirt or QEMU writes
        │   │   │   └── MemoryExhausted * the host has no memory for the node
        │   │   ├── NetworkUnusable * a network over several hosts couldn't be made
        │   │   ├── MonitorRefused *  a QEMU monitor command failed or was refused
        │   │   ├── SnapshotFailed *  a node's devices couldn't be saved or loaded
        │   │   └── NodeGone *        the domain that was asked about does not exist any more
        │   ├── NodeLost *            the VM of a node ended, or its kernel failed
        │   ├── NodeUnreachable *     a node's SSH didn't answer in time, or its connection broke
        │   ├── RemoteCommandFailed * a command on a node ended with an error, or not in time
        │   ├── GuestError *          a measuring instrument on a node left something unreadable
        │   ├── ExchangeError *       a guest's exchange is too small, or holds no result
        │   ├── BadArchive *          an archive from a node is none, or holds more than it may
        │   ├── TransferFailed *      a folder could not be brought from any host that has it
        │   └── WorkloadUnfinished *  the workload didn't end by its deadline
        ├── SchedulerError            the scheduler refused its settings or died
        │   ├── BootstrapFailed       a step of a plan failed, or a probe never came true
        │   ├── ParseError            a scheduler's tool printed something unreadable
        │   └── SchedulerDied         a daemon ended while jobs were running
        └── StallError                jobs wait, and nothing starts or ends any more

Errors cross process borders (Ray pickles them), so all their data are positional arguments.
"""

import shlex
from collections.abc import Sequence
from typing import ClassVar, Literal

OUTPUT_TAIL = 2000
"""Of a failed command's output, errors keep this many characters, the last ones."""
COMMAND_HEAD = 300
"""Of a failed command itself, errors keep this many characters, the first ones."""


class CampaignError(Exception):
    """An error a user can act upon.

    `brief` is one line: what, where, which value. `details` is evidence (a console tail, a tool's
    output). `resolution` says how to fix it. `retryable` tells whether another attempt may not meet
    the error: each class has its answer, and `retryable=` gives one error another. `outcome` is
    what a trial that the error ends comes to.
    """

    outcome: ClassVar[Literal["stalled", "scheduler_failed", "infrastructure_failed"]] = (
        "infrastructure_failed"
    )
    retryable: bool = False

    def __init__(
        self, brief: str, details: str = "", resolution: str = "", *, retryable: bool | None = None
    ) -> None:
        super().__init__(brief, details, resolution)
        self.brief = brief
        self.details = details
        self.resolution = resolution
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return "\n".join(part for part in (self.brief, self.details, self.resolution) if part)


class UsageError(CampaignError):
    """A command line asks for what can't be done; nothing was started."""


class ConfigError(CampaignError):
    """A setting is wrong; nothing was started."""


class CommandFileError(CampaignError):
    """The file of operator commands has a line that isn't a valid one."""


class WorkloadError(CampaignError):
    """A workload can't be read or doesn't fit the cluster; nothing was started."""


class ImageError(CampaignError):
    """An image bundle is missing, damaged, or can't be built."""


class LedgerError(CampaignError):
    """The results folder holds something else than the campaign that was asked for."""


class StorageError(CampaignError):
    """The disk doesn't take the results; those that are on it stay as they are."""


class GaveUpError(CampaignError):
    """So many attempts in a row failed that the campaign was ended."""


class TrackingError(CampaignError):
    """MLflow's store can't be opened, written or shown; the ledger has all results."""


class BenchmarkError(CampaignError):
    """A benchmark measured nothing that can be compared."""


class TrialError(CampaignError):
    """A trial went wrong; the subclass decides its outcome."""


class InfrastructureError(TrialError):
    """The platform failed: libvirt, a VM, SSH, a disk. The trial may be tried again."""

    retryable = True


class CapacityError(InfrastructureError):
    """The host has no room for the request, as it is used now."""


class SchedulerError(TrialError):
    """The scheduler refused its settings, or one of its daemons died."""

    outcome = "scheduler_failed"


class StallError(TrialError):
    """Jobs wait, and nothing starts or ends any more."""

    outcome = "stalled"


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
