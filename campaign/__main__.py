"""`python -m campaign`: what surrounds a search. Each command's work is a module of
campaign/cli/."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from campaign.cli.failures import guarded

COMMANDS = {
    "doctor": "what this machine can do, and the command that mends what is missing",
    "image": "list, build, show, compare, verify, lock, remove image bundles",
    "golden": "list and remove golden clusters, from which trials' clusters are restored",
    "host": "how machines join as hosts, what hosts there are, and draining or adding one while "
    "a campaign runs",
    "clean": "remove VMs and files that dead campaigns left",
    "report": "write a campaign's report again, from its ledger",
    "ui": "the MLflow UI, on loopback",
    "export": "write a bootstrap plan for Ansible: inventory, playbook and files",
    "workload": "show, convert and generate workloads: figures, distributions, a picture, SWF "
    "files",
    "bench": "how fast clusters are there, how fast simulation is, how far the two are apart, "
    "what the driver costs",
    "chaos": "seeded faults over campaigns on simulated hosts, and whether every invariant holds",
    "docs": "write the tables of settings and metrics of docs/",
}


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (see campaign/core/exits.py)."""
    parser = argparse.ArgumentParser(prog="python -m campaign", description=__doc__)
    below = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = importlib.import_module(f"campaign.cli.{name}")
        command.configure(below.add_parser(name, help=summary, description=summary))
    options = parser.parse_args(arguments)
    status: int = importlib.import_module(f"campaign.cli.{options.command}").run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
