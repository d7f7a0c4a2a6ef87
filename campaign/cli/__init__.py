"""What the commands print: help, dry run, doctor, errors. The work itself is done elsewhere."""
