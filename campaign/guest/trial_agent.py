"""The program in a guest in virtual time: does the tasks of its exchange."""
