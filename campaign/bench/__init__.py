"""The benchmark: how fast clusters are ready, how fast simulation is, and how far it is from
measured trials."""
