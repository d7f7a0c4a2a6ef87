"""The search: space, samplers, studies and Pareto fronts. Nothing else imports Optuna."""
