"""From YAML files and overrides to a validated campaign, with each error traced to its origin.

Hydra composes, OmegaConf resolves, Pydantic judges. Hydra's Compose API leaves the working
directory and the logging alone. Its struct mode is bypassed on purpose: which keys exist is the
model's business, and it words the error better.
"""

import difflib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from campaign.config import cluster_check, effects
from campaign.config.attached_problems import attached_problems
from campaign.config.baseline import Baseline, baseline_of, in_words
from campaign.config.derived import completed
from campaign.config.file_kind import kind_by_file
from campaign.config.first import opening_of, opening_problems
from campaign.config.groups import CONF, groups
from campaign.config.hook_settings import hook_problems
from campaign.config.image_choice import image_name
from campaign.config.input_limits import check_files, check_override, is_folder
from campaign.config.ladder import ladder_problems
from campaign.config.lever_params import without_lever
from campaign.config.metric_settings import metric_problems, put
from campaign.config.origins import OVERRIDE, Origins, key_of
from campaign.config.override_values import SEE_HELP, check_group_choice, value_of
from campaign.config.renamed import current_name, log_renamed, with_current_names
from campaign.core.errors import ConfigError
from campaign.schema.model import Campaign, ClusterSettings
from campaign.schema.settings import SettingRow, model_below, row_of, rows
from schedulers.base import Params
from schedulers.interface import SLOTS_OF_A_NODE, Scheduler
from schedulers.registry import adapter
from search.opening import Opening
from search.reading import reason_of, space_of
from search.space import Problem, Space, SpaceError

_MEMORY = "cluster.memory_mib"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Composed:
    """A valid campaign, the adapters of its schedulers by name, and its search space."""

    campaign: Campaign
    schedulers: Mapping[str, Scheduler[Params]]
    space: Space
    origins: Origins

    @property
    def scheduler(self) -> Scheduler[Params]:
        """The campaign's only scheduler; raises ConfigError where it searches several."""
        names = tuple(self.schedulers)
        if len(names) > 1:
            raise ConfigError(
                f"scheduler.name = {list(names)}: this needs one scheduler",
                resolution=f"Use one of the groups, such as scheduler={names[0]}.",
            )
        return self.schedulers[names[0]]

    @property
    def baseline(self) -> Baseline:
        """The point with which a campaign's other trials are compared."""
        return baseline_of(self.space, self.schedulers, self.campaign.search.baseline)

    @property
    def opening(self) -> Opening:
        """What is tried before the sampler chooses freely."""
        return opening_of(self.space, self.schedulers, self.campaign.search)

    @property
    def baseline_in_words(self) -> str:
        """What the baseline is, as one sentence says it."""
        return in_words(self.baseline, self.space, self.schedulers)

    def image_name(self, scheduler: Scheduler[Params]) -> str:
        """Return the name of the image that nodes boot under `scheduler`."""
        return image_name(self.campaign, scheduler)

    @property
    def smallest_slots(self) -> int:
        """The slots of the campaign's smallest cluster, for which its workload is made."""
        return self.campaign.cluster.slots(self.space.node_counts()[0])


def compose(
    overrides: Sequence[str],
    config_dir: Path | None = None,
    config_name: str = "config",
    *,
    used_elsewhere: Collection[str] = (),
) -> Composed:
    """Compose the campaign of a command line's `overrides`, and validate it.

    `config_dir` is a user's own folder of YAML: its groups stand beside ours and win where names
    clash. Settings in `used_elsewhere` may be given though the campaign has no use for them. Raises
    ConfigError with field, value, allowed values and origin of everything wrong.
    """
    for override in overrides:
        check_override(override)
    if config_dir and not is_folder(config_dir):
        raise ConfigError(f"there is no folder {config_dir}", resolution="Check --config-dir.")
    folders = (*([config_dir.resolve()] if config_dir else []), CONF)
    current = [_with_current_name(override) for override in overrides]
    values, choices = _hydra(current, folders, config_name)
    if kind := kind_by_file(current, choices):
        current.append(f"workload={kind}")
        values, choices = _hydra(current, folders, config_name)
    origins = Origins(tuple(current), folders, config_name, choices)
    return _validated(with_current_names(values), origins, used_elsewhere)


def compose_recorded(config: dict[str, Any]) -> Composed:
    """Return the campaign that a ledger recorded.

    Raises ConfigError when the ledger is of another version of this software, beyond settings that
    have been renamed since.
    """
    return _validated(recorded(config), Origins((), (), "", {}, otherwise="the ledger"))


def recorded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a ledger recorded, by their present names."""
    return with_current_names(config, of="the ledger", level=logging.INFO)


def _validated(
    values: dict[str, Any], origins: Origins, used_elsewhere: Collection[str] = ()
) -> Composed:
    try:
        campaign = Campaign.model_validate(values)
    except ValidationError as error:
        raise _config_error((_problem_of(dict(item)) for item in error.errors()), origins) from None
    schedulers = {name: adapter(name) for name in campaign.scheduler.names}
    problems = [
        *metric_problems(campaign),
        *hook_problems(campaign),
        *_one_image_for_several(campaign),
        *_not_dense(campaign, schedulers.values()),
        *cluster_check.inconsistencies(campaign),
        *cluster_check.not_expressed(campaign, schedulers.values()),
        *effects.problems(campaign, origins, used_elsewhere),
        *ladder_problems(campaign, schedulers.values()),
    ]
    try:
        space = space_of(
            campaign, {name: scheduler.Params for name, scheduler in schedulers.items()}
        )
    except SpaceError as error:
        raise _config_error([*error.problems, *problems], origins) from None
    problems += effects.parameter_problems(space, schedulers, origins)
    problems += without_lever(campaign, space, schedulers, origins)
    problems += attached_problems(campaign, space)
    problems += opening_problems(space, schedulers, campaign.search)
    if problems:
        raise _config_error(problems, origins)
    campaign = completed(campaign)
    return Composed(
        _with_memory(campaign, schedulers.values(), origins, space.node_counts()[1]),
        schedulers,
        space,
        origins,
    )


def _not_dense(campaign: Campaign, schedulers: Iterable[Scheduler[Params]]) -> Iterator[Problem]:
    names = [scheduler.name for scheduler in schedulers if not scheduler.shared_node_mib]
    why = f"{' and '.join(names)} has no plans for several nodes in one VM"
    if names and campaign.testbed.kind == "virtual-time":
        yield Problem("testbed.kind", "virtual-time", "libvirt | simulation", why)
    elif names and campaign.cluster.dense:
        yield Problem("cluster.dense", True, "false", why)


def _with_memory(
    campaign: Campaign,
    schedulers: Iterable[Scheduler[Params]],
    origins: Origins,
    largest: int,
) -> Campaign:
    # All VMs have as much memory as the scheduler that needs most.
    shared = _shares(campaign.cluster, largest) if campaign.cluster.dense else 0
    default = ClusterSettings.model_fields["memory_mib"].default if shared else 0

    def needed_mib(scheduler: Scheduler[Params]) -> int:
        own_mib: int = max(default, scheduler.memory_mib)
        return own_mib + shared * scheduler.shared_node_mib

    given = campaign.cluster.memory_mib
    neediest = max(schedulers, key=needed_mib)
    if given >= needed_mib(neediest):
        return campaign
    if "memory_mib" in campaign.cluster.model_fields_set:
        if campaign.testbed.kind == "simulation":
            return campaign  # nothing boots, so what VMs need is no limit
        raise ConfigError(
            f"{_MEMORY} = {given} (from {origins.of(_MEMORY)}): {neediest.name} needs "
            f"{needed_mib(neediest)} MiB",
            resolution="Leave it out, or raise it.",
        )
    cluster = campaign.cluster.model_copy(update={"memory_mib": needed_mib(neediest)})
    return campaign.model_copy(update={"cluster": cluster})


def _shares(cluster: ClusterSettings, nodes: int) -> int:
    """Return for how many nodes' daemons and jobs a VM that they share needs memory.

    A node with more slots than SLOTS_OF_A_NODE counts as several: its slots may all have jobs.
    """
    return max(nodes, -(-cluster.slots(nodes) // SLOTS_OF_A_NODE))


def _hydra(
    overrides: list[str], folders: tuple[Path, ...], name: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the composed values, and the chosen option of each group; raise ConfigError only."""
    from omegaconf.errors import MissingMandatoryValue

    try:
        return _composed(overrides, folders, name)
    except ConfigError:
        raise
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: a value must be given", resolution=SEE_HELP) from None
    except RecursionError:
        raise _not_composed("it is nested too deeply") from None
    except OSError as error:  # such as a name that is too long for a file
        # Without a name it is of the working directory, which whoever runs commands explains.
        if isinstance(error, FileNotFoundError) and error.filename is None:
            raise
        raise _not_composed(error.strerror or str(error)) from None
    # Hydra, OmegaConf and the grammar's parser answer odd text with errors of any kind.
    except Exception as error:  # noqa: BLE001
        _log.debug("Hydra failed", exc_info=True)
        raise _not_composed(_first_lines(error)) from None


def _not_composed(why: str) -> ConfigError:
    return ConfigError(f"the configuration can't be composed: {why}", resolution=SEE_HELP)


def _composed(
    overrides: list[str], folders: tuple[Path, ...], name: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Do as `_hydra` does, and raise whatever Hydra raises.

    Hydra gets what concerns groups. Settings are put in afterwards, each in the place of what stood
    there: Hydra would merge a mapping into a mapping, and refuse a list where a mapping stood.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    main = next((folder for folder in folders if (folder / f"{name}.yaml").is_file()), None)
    if main is None:
        where = " or ".join(str(folder) for folder in folders)
        raise ConfigError(
            f"there is no {name}.yaml in {where}",
            resolution="Check --config-dir and --config-name.",
        )
    if folders[0] != CONF:
        check_files(folders[0], main / f"{name}.yaml", overrides)
    known = groups(folders)
    of_groups = [override for override in overrides if _concerns_groups(override, known)]
    others = [_quoted(f"file://{folder}") for folder in folders if folder != main]
    path = [f"hydra.searchpath=[{','.join(others)}]"] if others else []
    with initialize_config_dir(str(main), version_base="1.3"):
        config = hydra_compose(name, [*of_groups, *path], return_hydra_config=True)
    choices = {
        str(g): str(o)
        for g, o in config.hydra.runtime.choices.items()
        if not str(g).startswith("hydra/")
    }
    values = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    # Before the overrides, so that they win over what a file sets by an old name.
    values = OmegaConf.create(with_current_names(_unresolved(values)))
    for override in overrides:
        if override not in of_groups:
            put(values, key_of(override), value_of(override))
    container = OmegaConf.to_container(values, resolve=True, throw_on_missing=True)
    if not isinstance(container, dict):
        raise ConfigError(f"{name}.yaml must hold settings by name", resolution=SEE_HELP)
    return {str(key): value for key, value in container.items()}, choices


def _unresolved(values: Any) -> dict[str, Any]:
    """Return OmegaConf's `values` as they stand, interpolations and all."""
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(values, resolve=False)
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def _concerns_groups(override: str, known: dict[str, list[str]]) -> bool:
    """Return whether an override chooses, adds or removes, rather than sets a value.

    Raises ConfigError if it is not a valid override.
    """
    match = OVERRIDE.match(override)
    if match is None or (match["value"] is None and match["sign"] != "~"):
        raise ConfigError(
            f"override {override!r} is not of the form setting=value", resolution=SEE_HELP
        )
    if match["sign"] == "~" or match["key"].startswith("hydra"):
        return True
    group = match["key"].split("@")[0]
    if group not in known or match["value"].startswith(("{", "[")):
        return False
    check_group_choice(override, known[group])
    return True


def _with_current_name(override: str) -> str:
    """Return `override` with the present name of its setting."""
    key = key_of(override)
    if current_name(key) == key:
        return override
    log_renamed(key)
    return override.replace(key, current_name(key), 1)


def _quoted(text: str) -> str:
    """Return `text` as a quoted string of Hydra's grammar."""
    return "'" + text.replace("'", "\\'") + "'"


def _first_lines(error: Exception) -> str:
    # Without the list of the folders that Hydra searched: some are Hydra's own.
    text = str(error).partition("Config search path:")[0]
    return "\n".join(text.strip().splitlines()[:12])


def _problem_of(item: dict[str, Any]) -> Problem:
    """Put one of Pydantic's findings into our words."""
    loc = [str(part) for part in item["loc"] if part not in ("fixed", "list", "range", "choices")]
    path = ".".join(loc)
    if item["type"] == "extra_forbidden":
        return Problem(
            path, item["input"], _similar(path, item["input"]), "there is no such setting"
        )
    row = _row_at(Campaign, loc)
    return Problem(path, item["input"], row.allowed_with_unit if row else "", reason_of(item))


def _row_at(model: type[BaseModel], loc: list[str]) -> SettingRow | None:
    """Return the row of the setting at `loc`, through models and mappings of models.

    None where there is no such setting.
    """
    row = None
    for part in loc:
        if part in model.model_fields:
            row = row_of(part, model.model_fields[part])
            below = model_below(model.model_fields[part].annotation)
            model = below[0] if below else BaseModel
        elif model is BaseModel:
            return None  # inside a free mapping, whose row doesn't describe its entries
    return row


def _similar(path: str, value: object) -> str:
    # A misspelt group is recognized by the names of the settings that were given in it.
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        path = f"{path}.{key}"
    known = [row.path for row in rows(Campaign)]
    close = difflib.get_close_matches(path, known, n=3, cutoff=0.6)
    return f"perhaps {' or '.join(close)}" if close else "see --help for the settings"


def _config_error(problems: Iterable[Problem], origins: Origins) -> ConfigError:
    lines = list(_lines(problems, origins))
    brief = lines[0] if len(lines) == 1 else f"{len(lines)} settings are wrong"
    details = "" if len(lines) == 1 else "\n".join(f"  {line}" for line in lines)
    return ConfigError(brief, details, SEE_HELP)


def _lines(problems: Iterable[Problem], origins: Origins) -> Iterator[str]:
    for problem in problems:
        allowed = f"; allowed: {problem.allowed}" if problem.allowed else ""
        value = (
            f" = {problem.value!r}"
            if not isinstance(problem.value, dict) or problem.allowed
            else ""
        )
        where = problem.path or "campaign"
        yield f"{where}{value}: {problem.why}{allowed} (from {origins.of(problem.path)})"


def _one_image_for_several(campaign: Campaign) -> Iterator[Problem]:
    chosen = {"image.name": campaign.image.name, "image.hash": campaign.image.hash}
    for path, value in chosen.items():
        if value is not None and len(campaign.scheduler.names) > 1:
            yield Problem(path, value, "not set", "each of several schedulers boots its own image")
