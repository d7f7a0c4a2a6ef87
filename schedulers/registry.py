"""Finds scheduler adapters: the packages below schedulers/ are the list."""

from importlib import import_module
from pathlib import Path
from typing import cast

from campaign.core.errors import ConfigError
from schedulers.base import Params
from schedulers.interface import Scheduler


def names() -> tuple[str, ...]:
    """Return the names of the schedulers that exist, in alphabetical order; none is imported."""
    here = Path(__file__).parent
    # Folders that begin with an underscore hold what several adapters share.
    return tuple(sorted(init.parent.name for init in here.glob("[a-z]*/__init__.py")))


def adapter(name: str) -> Scheduler[Params]:
    """Return the adapter of scheduler `name`: the `ADAPTER` of package `schedulers.<name>`.

    Raise ConfigError where there is no such package.
    """
    if name not in names():
        raise ConfigError(
            f"scheduler.name: there is no scheduler {name!r}",
            resolution=f"Use one of: {', '.join(names())}.",
        )
    # Only the adapter itself knows the class of its parameters: its own `Params` makes them.
    return cast(Scheduler[Params], import_module(f"schedulers.{name}").ADAPTER)
