"""The command line of `hpc-campaign`: every command is listed, only the chosen one is imported."""

import argparse
import importlib
import keyword
from collections.abc import Mapping, Sequence
from typing import Any

from campaign.cli.arguments import CommandParser

PROGRAM = "hpc-campaign"


class Parser(CommandParser):
    """A parser for one command: no option may be abbreviated, and all of them know `--verbose`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})
        self.add_argument(
            "-v",
            "--verbose",
            action="store_true",
            # Without a default a command's parser leaves what the one above it has found.
            default=argparse.SUPPRESS,
            help="show how each step goes, too",
        )


class Version(argparse.Action):
    """`--version`: the release, the hash of the sources, and the commit where there is one."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it and end."""
        # Reading all sources takes a moment, so it is done only when it is asked for.
        from campaign.core.version import software

        this = software()
        commit = f", commit {this.git_commit}" if this.git_commit else ""
        print(f"{PROGRAM} {this.software_version} (source {this.source_digest}{commit})")
        parser.exit()


def build(commands: Mapping[str, str], arguments: Sequence[str], description: str) -> Parser:
    """Return the parser of `commands`, given as summaries by name.

    Only the command that `arguments` name has its options, since only that one is imported. A
    command is the module `campaign.cli.<name>` with `configure(parser)` and `run(options)`.
    """
    parser = Parser(prog=PROGRAM, description=description)
    parser.set_defaults(verbose=False)
    parser.add_argument(
        "--version", action=Version, nargs=0, help="print version, source hash and commit, and stop"
    )
    below = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = command_of(arguments)
    for name, summary in commands.items():
        command = below.add_parser(name, help=summary, description=summary)
        if name == chosen:
            module(name).configure(command)
    return parser


def command_of(arguments: Sequence[str]) -> str | None:
    """Return the first word that is no option; None where there is none."""
    return next((given for given in arguments if not given.startswith("-")), None)


def module(command: str) -> Any:
    """Import the module of a command; an underscore follows a name that Python keeps for itself."""
    ending = "_" if keyword.iskeyword(command) else ""
    return importlib.import_module(f"campaign.cli.{command}{ending}")
