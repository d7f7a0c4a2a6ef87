"""What is installed only by an extra of the package, and what to say where it is missing."""

import importlib.util

from campaign.core.errors import ConfigError

EXTRAS = {
    "vm": {"ray": "Ray", "libvirt": "libvirt-python"},
    "ui": {"flask": "MLflow's server"},
    "bench": {"accasim": "AccaSim"},
    "figures": {"matplotlib": "matplotlib"},
    "gp": {"torch": "PyTorch"},
}
"""The modules that each extra brings, each with the name by which people know what it is of."""
_MODULES = {"libvirt_qemu": "libvirt"}
"""Modules that come with another one."""


def require(extra: str, what: str) -> None:
    """Raise ConfigError unless all that `extra` brings is installed; `what` needs it."""
    absent = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if absent:
        raise _lacking(extra, what, absent[0])


def explained(error: ModuleNotFoundError) -> ConfigError | None:
    """Return the error that a user can act upon; None where no extra brings the missing module."""
    top = (error.name or "").partition(".")[0]
    name = _MODULES.get(top, top)
    extra = next((extra for extra, modules in EXTRAS.items() if name in modules), None)
    return _lacking(extra, "this", name) if extra else None


def _lacking(extra: str, what: str, module: str) -> ConfigError:
    return ConfigError(
        f"{what} needs {EXTRAS[extra][module]}, which is not installed",
        resolution=f"Install the extra: pip install 'hpc-campaign[{extra}]' (in the sources: "
        "make setup).",
    )
