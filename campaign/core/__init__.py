"""The vocabulary that every other folder uses: errors, jobs, trials, phases, provenance."""
