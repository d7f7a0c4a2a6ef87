"""Golden clusters: snapshots of whole clusters with their memory, on disk and while they are
made."""
