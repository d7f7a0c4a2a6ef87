"""Ray actors and what they drive: libvirt hosts and live clusters."""
