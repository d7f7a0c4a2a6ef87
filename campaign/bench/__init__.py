"""Benchmarks: how fast clusters and simulation are, how far they agree, what the driver costs."""
