"""The commands of `hpc-campaign`, in the order in which its help lists them."""

DESCRIPTION = """\
Find out which batch scheduler with which settings on how many nodes serves a workload best.
`hpc-campaign COMMAND --help` says more of a command."""

COMMANDS = {
    "search": "search a campaign's settings until its Pareto front is known",
    "list": "the campaigns in the results folder: state, trials done, best values",
    "report": "write a campaign's report again, from its ledger; compare two trials",
    "check": "whether a trial is worse than a reference, beyond its interval: a gate for CI",
    "fidelity": "what the jobs of a replayed log waited, beside what they waited where it is of",
    "why": "what a job of a trial waited for, from its submission to its start",
    "verify": "whether the files and figures of a campaign, or of a published one, are what its "
    "ledger and jobs say; rebuild what follows from them",
    "publish": "a campaign as a folder for others: an RO-Crate with citation and checksums",
    "rerun": "run the trials of a campaign, or of a published one, again, and say what differs",
    "agreement": "how far the simulation is from the trials that a campaign measured",
    "workload": "show, convert and generate workloads: figures, distributions, a picture, SWF "
    "files",
    "init": "write an example site's log and settings, to begin with before one's own",
    "import": "read a site's own log (sacct, a table, a trace) into one file that campaigns replay",
    "image": "list, build, show, compare, verify, lock, remove image bundles; bring their files",
    "golden": "list and remove golden clusters: snapshots of booted and joined clusters, from "
    "which trials start",
    "host": "how machines join as hosts, what hosts there are, and draining or adding one while "
    "a campaign runs",
    "export": "what others take over: a plan for Ansible, a trial's settings for a site's files, a "
    "report's figures and tables, a study for optuna-dashboard",
    "ui": "the MLflow UI, on loopback",
    "doctor": "what this machine can do, and how to fix what is missing",
    "clean": "remove VMs and files that dead campaigns left",
    "bench": "how fast clusters are there, how fast simulation is, how far the two are apart, "
    "what the driver costs",
    "chaos": "seeded faults over campaigns on simulated hosts, and whether every invariant holds",
    "completion": "print what a shell must evaluate to complete commands, groups and settings",
}
