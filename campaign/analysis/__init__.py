"""What trials say: metrics, validity, fairness between schedulers, and comparisons."""
