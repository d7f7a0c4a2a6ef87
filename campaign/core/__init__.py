"""The vocabulary that every other folder uses: errors, jobs, trials, and the protocol of a
testbed."""
