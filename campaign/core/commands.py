"""Operator commands to a running campaign: drain a host, let it serve again, or add one.

They are lines of a file in the campaign's results folder. An operator's program appends a line; the
driver reads what is new whenever it looks at its hosts, and all of it when the campaign is resumed.
"""

import json
import os
import time
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from campaign.core.errors import CommandFileError
from campaign.schema.hosts import HostSettings
from campaign.schema.settings import Settings, setting

COMMANDS = "commands.jsonl"


class OperatorCommand(Settings):
    """One command about one host."""

    action: Literal["drain", "serve"] = setting(
        help="drain: no more trials there; serve: trials may go there"
    )
    host: str = setting(help="the host's name")
    settings: HostSettings | None = setting(None, help="settings of the host to add")
    at: float = setting(0.0, help="when it was given, Unix seconds")


class CommandFile:
    """The operator commands of the campaign whose results are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / COMMANDS
        self._read_bytes = 0
        self._read_lines = 0

    def append(self, command: OperatorCommand) -> None:
        """Add a command, dated now; it is on the disk when this returns."""
        line = command.model_copy(update={"at": time.time()}).model_dump_json() + "\n"
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        try:
            # In one piece, so that the lines of two operators never mix.
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def new(self) -> list[OperatorCommand]:
        """Return the commands that were added since the last call.

        A last line that isn't whole yet is left for the next call. Raises CommandFileError for a
        line that isn't a valid command; the lines that were read then aren't read again.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        first = self._read_lines + 1
        lines = whole.splitlines()
        self._read_lines += len(lines)
        return [self._parsed(number, line) for number, line in enumerate(lines, first)]

    def _parsed(self, number: int, line: bytes) -> OperatorCommand:
        try:
            return OperatorCommand.model_validate(json.loads(line))
        except (ValueError, ValidationError) as error:
            raise CommandFileError(
                f"{self._path}, line {number} is not a valid command",
                str(error),
                "Remove the line, or the file: it holds no results.",
            ) from None
