"""Fault injection: seeded faults over campaigns, and the invariants that must hold after each."""
