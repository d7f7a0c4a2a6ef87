"""The states of domains in words."""

import libvirt

_HALTED = (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED)
_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
}


def in_words(state: int, why: int) -> str:
    """Return libvirt's state of a domain, with its reason, as a word.

    A guest in virtual time stops itself by the device that tells of a panic, which others lack: it
    has halted.
    """
    if (state, why) == _HALTED:
        return "halted"
    return _STATES.get(state, f"unknown ({state})")
