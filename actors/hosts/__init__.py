"""The hosts that run VMs: slots and nodes, the actor in front of each, the placement of trials."""
