"""What people order of a campaign that runs: hosts to be drained, to serve again, or to be added. A
file of lines.

Whoever orders appends a line; the driver reads what is new whenever it looks at its hosts, and all
of it at a resume.
"""

import json
import os
import time
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from campaign.core.errors import LedgerError
from campaign.schema.hosts import HostSettings
from campaign.schema.settings import Settings, setting

ORDERS = "orders.jsonl"


class Order(Settings):
    """One order about one host."""

    order: Literal["drain", "serve"] = setting(
        help="drain: no more trials there; serve: trials may go there"
    )
    host: str = setting(help="the host's name")
    settings: HostSettings | None = setting(
        None, help="those of a host that the campaign doesn't know yet"
    )
    at: float = setting(0.0, help="when it was given, Unix seconds")


class Orders:
    """The orders of the campaign whose results are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ORDERS
        self._read = 0  # bytes

    def give(self, order: Order) -> None:
        """Add an order, in one piece."""
        line = order.model_copy(update={"at": time.time()}).model_dump_json() + "\n"
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        try:
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def new(self) -> list[Order]:
        """The orders that were given since this was last asked; LedgerError for a line that is
        none."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        try:
            return [Order.model_validate(json.loads(line)) for line in whole.splitlines()]
        except (ValueError, ValidationError) as error:
            mend = "Remove the line, or the file: it holds no results."
            raise LedgerError(
                f"{self._path} has a line that is no order", str(error), mend
            ) from None
