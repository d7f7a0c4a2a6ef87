"""The values of overrides: Hydra's grammar, less its sweeps over several runs."""

from typing import Any

from campaign.config.origins import key_of, text_of
from campaign.core.errors import ConfigError

SEE_HELP = "See `hpc-campaign search --help` for groups, options and settings."
SEARCHABLE = ("cluster.nodes", "cluster.groups.", "scheduler.params.", "scheduler.arms.")
"""Settings that a search may vary, by what their names begin with."""


def value_of(override: str) -> Any:
    """Return the value of an override by Hydra's grammar: number, list, mapping or quoted text.

    Other text stands for itself. Raises ConfigError, which says what to write, for several values
    without brackets, for brackets that don't match, and for Hydra's own sweeps.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    text = text_of(override)
    try:
        parsed = OverridesParser.create().parse_override(f"x={text}")
    except HydraException as error:
        if (mapping := _mapping(text)) is not None:
            return mapping
        if text[:1] in "[{'\"":
            raise _unreadable(override, text, str(error)) from None
        return text  # such as a URI, whose ?, = and & are not in the grammar
    if parsed.is_sweep_override():
        raise _several_values(key_of(override), text)
    return parsed.value()


def _mapping(text: str) -> dict[str, Any] | None:
    """Return a mapping with quoted names, which Hydra's grammar lacks; None for anything else."""
    import yaml

    if not text.startswith("{") or not set(text) & set("'\""):
        return None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return found if isinstance(found, dict) else None


def check_group_choice(override: str, options: list[str]) -> None:
    """Raise ConfigError if an override chooses several of a group's `options` at once."""
    group = key_of(override).lstrip("+~")
    chosen = override.partition("=")[2]
    if "," not in chosen or chosen[:1] in "'\"":
        return
    several = (
        f", or scheduler.name=[{chosen}] for a search over several" if group == "scheduler" else ""
    )
    raise ConfigError(
        f"{override}: one option of the group {group} can be chosen",
        resolution=f"Use {group}= with one of {', '.join(options)}{several}.",
    )


def _several_values(key: str, text: str) -> ConfigError:
    # Hydra would run once for each value; here one campaign searches them.
    if text.startswith(("range(", "interval(", "glob(", "choice(", "shuffle(", "sort(", "tag(")):
        brief = f"{key}={text}: a sweep of Hydra's, which runs a program several times"
        inner = ""
    else:
        brief = f"{key}={text}: several values without brackets"
        inner = text
    if key.startswith(SEARCHABLE):
        return ConfigError(brief, resolution=_search_it(key, inner))
    if key == "scheduler.name" and inner:
        return ConfigError(brief, resolution=f"Use {key}=[{inner}] to search over schedulers.")
    quoted = f", or \"{key}='{inner}'\" for a text with a comma" if inner else ""
    fix = f"Give {key} one value (it can't be searched), or [..] where it takes a list{quoted}."
    return ConfigError(brief, resolution=fix)


def _search_it(key: str, inner: str) -> str:
    values = inner.split(",")
    numbers = len(values) == 2 and all(_is_number(value) for value in values)
    as_range = f'Use "{key}=[{inner if numbers else "LOW,HIGH"}]" for a range, both ends included'
    as_choices = f'"{key}={{choices: [{inner or "A,B"}]}}" for a list of values to choose from'
    if inner and not numbers and not any(_is_number(value) for value in values):
        return f"Use {as_choices}, or \"{key}='{inner}'\" for a text with a comma."
    return f"{as_range}, or {as_choices}."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unreadable(override: str, text: str, why: str) -> ConfigError:
    first = why.strip().splitlines()[0] if why.strip() else "it can't be read"
    inner = text.strip("[]{}() ")
    key = key_of(override)
    if key.startswith(SEARCHABLE) and inner and not set(inner) & set("[]{}:'\""):
        return ConfigError(
            f"the configuration can't be composed: {override}: {first}",
            resolution=_search_it(key, inner),
        )
    fix = f"Check brackets, braces and quotes, and quote the whole for the shell. {SEE_HELP}"
    return ConfigError(f"the configuration can't be composed: {override}: {first}", resolution=fix)
