"""A campaign from its first check to its report: ask, place, evaluate, judge, tell, conclude."""
