"""What a campaign leaves on the disk: the ledger, the results folder and the jobs data set."""
