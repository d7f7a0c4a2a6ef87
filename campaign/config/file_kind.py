"""Chooses the kind of workload by the file where a command line names a file and no kind."""

from collections.abc import Mapping, Sequence

from campaign.config.origins import key_of
from campaign.config.override_values import value_of
from campaign.core.errors import ConfigError
from campaign.core.files import user_path

DEFAULTS = ("demo", "afternoon")
"""What a campaign replays that chooses nothing, in real and in virtual time."""
PATH = "workload.path"


def kind_by_file(overrides: Sequence[str], choices: Mapping[str, str]) -> str | None:
    """Return the kind of the file that `overrides` name; None where a kind was chosen, or no file.

    `choices` are the options of all groups.
    """
    keys = {key_of(override) for override in overrides}
    if choices.get("workload") not in DEFAULTS or keys & {"workload", "workload.kind"}:
        return None
    given = [override for override in overrides if key_of(override) == PATH]
    path = value_of(given[-1]) if given else None
    if not isinstance(path, str) or not path:
        return None
    try:
        file = user_path(path)
    except ConfigError:
        return None  # whoever reads the file says what is wrong with its name
    # Arrow, which tells a table, takes a while to load.
    from campaign.workloads.kinds import kind_of

    return kind_of(file)
