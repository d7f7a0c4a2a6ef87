"""A campaign from its first check to its report: asks, places, evaluates, judges, tells,
concludes."""
