"""MLflow: what is logged there, the process that does it, and its user interface."""
