"""libvirt without Ray: domain XML, a private libvirtd, leases, capacity, the KVM probe. Importing
it loads nothing."""
