"""Golden clusters: snapshots of booted and joined clusters, with their memory."""
