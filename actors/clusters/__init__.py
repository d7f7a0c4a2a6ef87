"""A trial on a live cluster: provision the cluster, replay on it, watch it, and release it."""
