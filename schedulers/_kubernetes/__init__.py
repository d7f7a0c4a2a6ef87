"""What adapters of schedulers for Kubernetes share: an API server, nodes without a registry, pods,
their accounts."""
