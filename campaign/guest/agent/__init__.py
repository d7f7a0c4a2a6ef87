"""The parts of the program in a guest in virtual time, which travel in the task as they are."""
