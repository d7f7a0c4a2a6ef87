"""Optuna, and only here: search space, samplers, studies and Pareto fronts."""
