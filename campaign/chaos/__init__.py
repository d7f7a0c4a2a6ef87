"""Fault injection: seeded faults over campaigns, on simulated hosts and on VMs, and what must hold
after each."""
