"""`hpc-campaign`, also `python -m campaign`: a search, and what surrounds it.

Each command's work is a module of campaign/cli/.
"""

import os
import sys
from collections.abc import Sequence

from campaign.cli.commands import COMMANDS, DESCRIPTION
from campaign.cli.failures import guarded
from campaign.cli.parser import build, command_of, module
from campaign.execution.terminal import show


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status (see campaign/core/exits.py)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may follow
        from campaign.cli.completion import answer

        answer(COMMANDS, DESCRIPTION)
    if command_of(given) == "search" and "--version" not in given:
        # Its options and settings may stand in any order, which a parser below another can't do.
        from campaign.cli.search import main as search

        given.remove("search")
        return search(given)
    options = build(COMMANDS, given, DESCRIPTION).parse_args(given)
    with show("bare", verbose=options.verbose):
        status: int = module(options.command).run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
