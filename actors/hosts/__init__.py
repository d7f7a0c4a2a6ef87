"""The machines that run VMs: each one's slots and nodes, the actor in front of it, and which one a
trial goes to."""
