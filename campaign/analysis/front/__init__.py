"""How good a front is: intervals, hypervolume, importance, effects, and whose jobs wait."""
