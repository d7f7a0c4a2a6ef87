"""`hpc-campaign completion`: what a shell needs to complete commands, options, groups and settings.

The shell calls `hpc-campaign` itself for each completion, with the line so far in its environment;
argcomplete answers from the parsers.
"""

import argparse
import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from campaign.cli.parser import PROGRAM, build
from campaign.config.groups import groups

SHELLS = ("bash", "zsh", "fish")
_TAKE_OVERRIDES = ("overrides", "arguments", "source", "words")
"""The positional arguments that take groups and settings, by the names that commands give them."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that is to complete")
    parser.epilog = (
        f'bash, zsh: eval "$({PROGRAM} completion bash)" in ~/.bashrc, or zsh in ~/.zshrc; '
        f"fish: {PROGRAM} completion fish | source"
    )


def run(options: argparse.Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode

    print(shellcode([PROGRAM], shell=options.shell))
    return 0


def answer(commands: Mapping[str, str], description: str) -> None:
    """Tell the shell what may stand at the cursor; does not return where a shell asks."""
    import argcomplete

    parser = build(commands, _line_so_far()[1:], description)
    for below in _parsers(parser):
        for action in below._actions:
            if action.dest in _TAKE_OVERRIDES:
                setattr(action, "completer", overrides)  # noqa: B010 - argcomplete's protocol
    argcomplete.autocomplete(parser)


def overrides(prefix: str, **_: Any) -> list[str]:
    """Return the groups and settings that begin with `prefix`, or the values of the one in it."""
    name, equals, _value = prefix.partition("=")
    known = groups()
    if not equals:
        return [f"{one}=" for one in (*known, *_settings()) if one.startswith(prefix)]
    values = known.get(name) or _settings().get(name, [])
    return [f"{name}={value}" for value in values if f"{name}={value}".startswith(prefix)]


def _settings() -> dict[str, list[str]]:
    """Every setting and parameter by its dotted path, with the values it chooses from, if any."""
    from campaign.schema.model import Campaign
    from campaign.schema.settings import rows
    from schedulers import registry

    known = {row.path: row for row in rows(Campaign)}
    for name in registry.names():
        params = rows(registry.adapter(name).Params, "scheduler.params.")
        known |= {row.path: row for row in params}
    return {
        path.replace(".NAME.", ".local."): row.allowed.split(" | ") if " | " in row.allowed else []
        for path, row in known.items()
    }


def _line_so_far() -> list[str]:
    """Return the words before the cursor; where a quote is open, it goes on to the cursor."""
    line = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT", "0")) or None]
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _parsers(below)
