"""libvirt without Ray: domains, a private libvirtd, leases, capacity, the probe of KVM."""
