"""A trial on a live cluster: how the cluster is had, brought to readiness, used, watched and given
back."""
