"""Finds scheduler adapters: the packages below schedulers/ are the list, nothing else names
them."""

from importlib import import_module
from pathlib import Path
from typing import cast

from campaign.core.errors import ConfigError
from schedulers.base import Scheduler


def names() -> tuple[str, ...]:
    """The schedulers that exist, found by their folders, in alphabetical order; none is
    imported."""
    here = Path(__file__).parent
    return tuple(sorted(init.parent.name for init in here.glob("[a-z]*/__init__.py")))


def adapter(name: str) -> Scheduler:
    """The adapter of scheduler `name`: the `ADAPTER` of package `schedulers.<name>`. Raises
    ConfigError for no such."""
    if name not in names():
        raise ConfigError(
            f"scheduler.name: there is no scheduler {name!r}",
            resolution=f"Choose: {', '.join(names())}.",
        )
    return cast(Scheduler, import_module(f"schedulers.{name}").ADAPTER)
