"""What the command lines of several commands share: words and options in any order, numbers, files.

A word is a setting (`cluster.nodes=3`) or a name; an option begins with two dashes. Whatever is
wrong with a value is a UsageError, which reads like all errors of the project.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from campaign.core.errors import UsageError
from campaign.core.files import user_path


class CommandParser(argparse.ArgumentParser):
    """A parser that takes a command's words and options in any order.

    A word that is spelt like a setting but names an option (`out=FOLDER`) is a UsageError.
    """

    _intermixed = False

    # The signature is argparse's, which mypy knows in three variants.
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the namespace and the arguments that nothing is known of, as argparse does."""
        # argparse itself takes no more words after an option that follows some; its function that
        # does calls this one twice, and can't be used where subcommands follow.
        if self._intermixed or self._has_commands():
            return super().parse_known_args(args, namespace)
        self._refuse_options_as_words(sys.argv[1:] if args is None else args)
        self._intermixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixed = False

    def error(self, message: str) -> NoReturn:
        """Raise UsageError: what is wrong in one line, and where to read more, not all options."""
        multirun = re.search(r"arguments: .*(?<!\S)(--multirun|-m)(?!\S)", message)
        raise UsageError(
            f"{self.prog}: {message}",
            resolution="One search tries many values: setting=[low,high] is a range, "
            "'setting={choices: [a,b]}' a list."
            if multirun
            else f"`{self.prog} --help` says what there is.",
        )

    def _has_commands(self) -> bool:
        return any(action.nargs == argparse.PARSER for action in self._actions)

    def _refuse_options_as_words(self, words: Sequence[str]) -> None:
        for word in words:
            name, equals, _ = word.partition("=")
            option = self._option_string_actions.get(f"--{name}")
            if equals and option is not None:
                value = "" if option.nargs == 0 else f" {option.metavar or name.upper()}"
                raise UsageError(
                    f"{word}: {name} is an option, not a setting",
                    resolution=f"Use --{name}{value}.",
                )


def whole_number(option: str, *, least: int = 1) -> Callable[[str], int]:
    """Return a type for `option`: a whole number from `least`; UsageError for anything else."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise UsageError(
                f"{option} {text}: expected a whole number from {least}",
                resolution=f"Use {option} {max(least, 10)}, for instance.",
            )
        return int(text)

    return parse


def add_results(parser: argparse.ArgumentParser) -> None:
    """Declare `--results`."""
    parser.add_argument(
        "--results",
        type=user_path,
        default=Path("results"),
        help="folder of results (default: results)",
    )


def file_to_write(
    option: str, *endings: str, folder_is_made: bool = False
) -> Callable[[str], Path]:
    """Return a type for `option`: a file to write that has one of these endings.

    Its folder must exist, unless whoever writes the file makes it. UsageError for anything else.
    """
    usage = " or ".join(f"{option} FILE{ending}" for ending in endings)

    def parse(text: str) -> Path:
        place = user_path(text)
        if not text.endswith(endings) or place.is_dir():
            raise UsageError(
                f"{option} {text}: not the name of a file to write", resolution=f"Use {usage}."
            )
        if not (folder_is_made or place.parent.is_dir()):
            raise UsageError(
                f"{option} {text}: there is no folder {place.parent}",
                resolution=f"Create it, or use {usage}.",
            )
        return place

    return parse


def trial_of(text: str) -> tuple[str, int]:
    """Return the campaign and the trial that `NAME:TRIAL` names; UsageError for anything else."""
    name, colon, number = text.rpartition(":")
    if not (name and colon and number.isdecimal()):
        raise UsageError(f"{text!r} names no trial", resolution="Write NAME:TRIAL, such as demo:3.")
    return name, int(number)
