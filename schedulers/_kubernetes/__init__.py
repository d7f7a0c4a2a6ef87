"""What adapters of schedulers for Kubernetes share: API server, nodes, pods, their accounts."""
