"""What can go wrong between us and the machine that runs the nodes.

Every class names one cause that can be fixed; the tree is drawn in `campaign/core/errors.py`.
"""

from campaign.core.errors import CapacityError, InfrastructureError


class HypervisorError(InfrastructureError):
    """The hypervisor, or what we asked of it, failed."""


class LibvirtUnreachable(HypervisorError):
    """No libvirt answers at the URI."""


class DaemonError(HypervisorError):
    """The private libvirtd does not start, answer or stop."""


class GuestsRunning(HypervisorError):
    """The private libvirtd still runs guests, so it is not ended."""


class InvalidNodeSpec(HypervisorError):
    """A node was described wrongly; the same description will always fail."""

    retryable = False


class InvalidLease(HypervisorError):
    """Text that should be a lease isn't one; `details` holds the text."""


class NodeStartFailed(HypervisorError):
    """libvirt refused to start a node."""


class PortInUse(NodeStartFailed):
    """Another program listens on the port that was to lead to the node's SSH server."""


class NodeNameTaken(NodeStartFailed):
    """A domain of that name exists already."""


class FileUnusable(NodeStartFailed):
    """A file that the node needs is missing, or QEMU's user may not read it."""


class DiskFull(NodeStartFailed):
    """There is no space left where libvirt or QEMU writes."""


class MemoryExhausted(NodeStartFailed):
    """The host could not give the node its memory."""


class NetworkUnusable(HypervisorError):
    """A cluster's network over several hosts couldn't be made."""


class MonitorRefused(HypervisorError):
    """A command of a QEMU monitor failed or was refused."""


class SnapshotFailed(HypervisorError):
    """The state of a node's devices couldn't be saved or loaded."""


class NodeGone(HypervisorError):
    """The domain that was asked about does not exist, or not any more."""


class NotEnoughPorts(CapacityError):
    """There are fewer free ports in the configured range than nodes to start."""
