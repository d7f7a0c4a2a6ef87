"""Settings without an effect on what is chosen: they are refused, so that none misleads anybody."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from campaign.config.derived import held_out
from campaign.config.origins import OVERRIDE, Origins
from campaign.config.override_values import value_of
from campaign.config.scopes import (
    IN_VIRTUAL_TIME,
    OF_A_CLOCK,
    OF_HOSTS_WITH_KVM,
    ON_MACHINES,
    SIMULATED,
    WHY_NOT_ATTACHED_IN_VIRTUAL_TIME,
    WHY_NOT_IN_VIRTUAL_TIME,
)
from campaign.schema.model import Campaign, ClusterSettings, ValiditySettings
from campaign.schema.settings import choices_of
from campaign.schema.workload import HAVE_EFFECT, MODELS
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import ARMS, PARAMS, Categorical, Problem, Space

OF_SAMPLERS = {"startup_trials": ("tpe", "ehvi", "gp"), "population": ("nsga2",)}
BUILDING = ("builder", "locked", "mirror", "extras")
"""Settings of how an image is built."""
MOST_COMBINATIONS = 1000  # of searched options of a scheduler that are gone through


class Unused(NamedTuple):
    """A setting, or a group of them, that has no effect: why, and what to do about it.

    `by_testbed` tells if it is only the kind of testbed that has no use for it.
    """

    path: str
    why: str
    fix: str
    by_testbed: bool = False


def unused(campaign: Campaign) -> Iterator[Unused]:
    """Yield the settings that have no effect on this campaign, whether anybody gave them or not."""
    yield from _of_workload(campaign)
    yield from _of_cluster(campaign)
    yield from _of_testbed(campaign)
    yield from _of_policy(campaign)
    yield from _of_batches(campaign)
    yield from _of_image(campaign)
    yield from _of_search(campaign)


def problems(
    campaign: Campaign, origins: Origins, used_elsewhere: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield the settings that somebody gave though they have no effect.

    Those in `used_elsewhere` have one beyond the campaign. A file of the user's may be a whole
    configuration that we wrote, so there a default stands for nothing. A file may also describe a
    site, for simulation and for virtual machines: where the command line chooses the testbed, what
    concerns another one is no mistake.
    """
    chosen_in_file = origins.in_users_file("testbed.kind")
    for one in unused(campaign):
        if one.path in used_elsewhere:
            continue
        for path, value, default in _leaves(campaign, one.path):
            in_file = origins.in_users_file(path) and value != default
            if one.by_testbed and not chosen_in_file:
                in_file = False
            # Our own groups set it for every kind.
            if path == "workload.jobs":
                in_file = False
            if in_file or given(origins.overrides, path):
                yield Problem(path, value, one.fix, one.why)


def parameter_problems(
    space: Space, schedulers: Mapping[str, Scheduler[Params]], origins: Origins
) -> Iterator[Problem]:
    """Yield the parameters that somebody gave though others make a scheduler ignore them."""
    for path, why in ignored_parameters(space, schedulers).items():
        if given(origins.overrides, path) or origins.in_users_file(path):
            value = space.fixed.get(path, "searched")
            yield Problem(path, value, "leave it out, or change what it depends on", why)


def ignored_parameters(space: Space, schedulers: Mapping[str, Scheduler[Params]]) -> dict[str, str]:
    """Return the parameters without an effect at any point of the space, with the reason.

    They have one beside other options than those that are chosen here. A parameter that has none
    beside any is another matter: it is not simulated, but written for the real scheduler.
    """
    found = {}
    for name, scheduler in schedulers.items():
        prefix = f"{ARMS}.{name}." if space.has_arms else f"{PARAMS}."
        named = _below({**space.fixed, **space.dimensions}, prefix)
        known = named.keys() & scheduler.Params.model_fields.keys()
        everywhere = known & _ignored_everywhere(space, scheduler, prefix)
        for ignored in sorted(everywhere - _never_used(scheduler) if everywhere else ()):
            beside = _options(space, scheduler, prefix)
            found[f"{prefix}{ignored}"] = f"{name} ignores it beside {beside}"
    return found


def given(overrides: Iterable[str], path: str) -> bool:
    """Return whether the command line gives the setting at `path`, by itself or in a mapping."""
    return any(_gives(override, path) for override in overrides)


def _gives(override: str, path: str) -> bool:
    match = OVERRIDE.match(override)
    if match is None or match["sign"] == "~":
        return False
    key = match["key"]
    if key == path:
        return True
    text = match["value"] or ""
    if not path.startswith(f"{key}.") or not text.startswith("{"):
        return False
    value: Any = value_of(f"{key}={text}")
    for part in path.removeprefix(f"{key}.").split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def _of_workload(campaign: Campaign) -> Iterator[Unused]:
    workload = campaign.workload
    for name, kinds in HAVE_EFFECT.items():
        if workload.kind not in kinds:
            yield Unused(
                f"workload.{name}",
                f"it has no effect on workload.kind={workload.kind}",
                f"choose workload={' or '.join(kinds)}, or leave it out",
            )
    if workload.instances_by != "phases":
        fix = "set workload.instances_by=phases, or leave it out"
        yield Unused("workload.phase_s", "instances differ by their jobs", fix)
    if workload.instances == 1 and not held_out(campaign):
        fix = "set workload.instances or search.holdout, or leave it out"
        yield Unused("workload.instances_by", "there is one instance", fix)
    if workload.wide != "scale":
        yield Unused(
            "workload.machine",
            f"it has no effect on workload.wide={workload.wide}",
            "set workload.wide=scale, or leave it out",
        )
    elif workload.kind in MODELS:
        yield Unused(
            "workload.machine",
            f"a model ({workload.kind}) is made for the smallest cluster",
            "leave it out",
        )


def _of_cluster(campaign: Campaign) -> Iterator[Unused]:
    if campaign.cluster.groups:
        for name in ("nodes", "slots_per_node", "devices"):
            yield Unused(
                f"cluster.{name}",
                "the nodes are those of cluster.groups",
                "leave one of the two out",
            )
    cluster = campaign.cluster
    named = (cluster.partitions, cluster.accounts, cluster.qos, cluster.reservations)
    if not (cluster.own_users or any(named)):
        yield Unused(
            "workload.unknown",
            "the cluster has nothing that jobs could name",
            "give it partitions, accounts, qos, reservations or users, or leave it out",
        )


def _of_testbed(campaign: Campaign) -> Iterator[Unused]:
    kind = campaign.testbed.kind
    why = f"it has no effect on testbed.kind={kind}"
    if kind != "virtual-time":
        for path in IN_VIRTUAL_TIME:
            yield Unused(path, why, "choose testbed=virtual-time, or leave it out", by_testbed=True)
    if kind == "simulation":
        fix = "choose testbed=libvirt, or leave it out"
        attached = _attached(campaign.cluster)
        for path in (*ON_MACHINES, *attached, *_checks_of_machines()):
            yield Unused(path, why, fix, by_testbed=True)
        return
    if not campaign.search.ladder:
        for path in SIMULATED:
            yield Unused(path, why, "choose testbed=simulation, or leave it out", by_testbed=True)
    if kind == "virtual-time":
        yield from _of_virtual_time(campaign)
    for name in campaign.hosts.keys() - campaign.hosts_in_use.keys():
        yield Unused(
            f"hosts.{name}",
            f"the host is not of the group {campaign.testbed.group!r} (testbed.group)",
            "choose another testbed.group, or leave it out",
            by_testbed=True,
        )
    yield from _of_machines(campaign.cluster)


def _of_policy(campaign: Campaign) -> Iterator[Unused]:
    """Yield the settings that an ideal policy has no use for."""
    policy = campaign.testbed.policy
    simulated = campaign.testbed.kind == "simulation" or campaign.search.ladder
    for path in OF_A_CLOCK if simulated and policy != "scheduler" else ():
        why = f"an ideal policy (testbed.policy={policy}) has no clock"
        yield Unused(path, why, "choose testbed.policy=scheduler, or leave it out")


def _of_batches(campaign: Campaign) -> Iterator[Unused]:
    alone = campaign.testbed.on_machines or campaign.workload.instances == 1
    if campaign.testbed.parallel > campaign.search.batch == 1 and alone:
        yield Unused(
            "testbed.parallel",
            "trials run side by side only within a batch, and search.batch is 1",
            f"set search.batch={campaign.testbed.parallel} or more, or leave it out",
        )


def _attached(cluster: ClusterSettings) -> Iterator[str]:
    """Yield the paths of what nodes may have of their hosts: devices, and cards on networks."""
    yield from ("cluster.devices", "cluster.networks")
    for name in cluster.groups:
        yield from (f"cluster.groups.{name}.devices", f"cluster.groups.{name}.networks")


def _of_machines(cluster: ClusterSettings) -> Iterator[Unused]:
    """Yield the settings of a cluster of VMs that others make vain."""
    if cluster.dense:
        why = "all nodes of a dense cluster are in one VM (cluster.dense)"
        for path in ("cluster.hosts", *_attached(cluster)):
            yield Unused(path, why, "leave one of the two out")
    elif cluster.start == "golden" and cluster.attached:
        yield Unused(
            "cluster.start",
            "real devices can't be saved, nor can copies of a card be on one network "
            "(cluster.devices, cluster.networks): such clusters are booted for every trial",
            "set cluster.start=cold, or leave it out",
        )


def _of_virtual_time(campaign: Campaign) -> Iterator[Unused]:
    from campaign.analysis.rules import RULES

    whys = dict(WHY_NOT_IN_VIRTUAL_TIME)
    whys |= {rule.setting: rule.real_only for rule in RULES.values() if rule.real_only}
    whys |= {
        f"hosts.{host}.{name}": why
        for host in campaign.hosts_in_use
        for name, why in OF_HOSTS_WITH_KVM.items()
    }
    whys |= dict.fromkeys(_attached(campaign.cluster), WHY_NOT_ATTACHED_IN_VIRTUAL_TIME)
    if campaign.cluster.dense:
        del whys["cluster.dense"]
    for path, why in whys.items():
        fix = "choose testbed=libvirt, or leave it out"
        yield Unused(path, f"it has no effect in virtual time: {why}", fix, by_testbed=True)


def _checks_of_machines() -> Iterator[str]:
    from campaign.analysis.rules import RULES

    of_jobs = {rule.limit for rule in RULES.values() if rule.of_jobs}
    for name in ValiditySettings.model_fields:
        if name not in of_jobs:
            yield f"validity.{name}"


def _of_image(campaign: Campaign) -> Iterator[Unused]:
    image = campaign.image
    if campaign.testbed.kind == "simulation":
        return
    if image.hash is not None:
        for name in ("name", "build", *BUILDING):
            yield Unused(
                f"image.{name}",
                "image.hash names the very image, which must be there",
                "leave one of the two out",
            )
    elif image.build == "never":
        for name in BUILDING:
            yield Unused(
                f"image.{name}",
                "image.build=never builds nothing",
                "set image.build=auto, or leave it out",
            )
    elif image.builder == "nix":
        for name in ("locked", "mirror", "extras"):
            yield Unused(
                f"image.{name}",
                "it is for image.builder=debian",
                "choose image.builder=debian, or leave it out",
            )


def _of_search(campaign: Campaign) -> Iterator[Unused]:
    if len(campaign.scheduler.names) == 1:
        yield Unused(
            "search.arm_trials",
            "a single scheduler is searched",
            "choose several, such as scheduler=slurm-flux, or leave it out",
        )
    if not campaign.search.ladder:
        yield Unused(
            "search.rehearsals",
            "nothing is tried on a cheap testbed first",
            f"set search.ladder=[simulation,{campaign.testbed.kind}], or leave it out",
        )
    for name, samplers in OF_SAMPLERS.items():
        if campaign.sampler.name not in samplers:
            yield Unused(
                f"sampler.{name}",
                f"it has no effect on sampler.name={campaign.sampler.name}",
                f"choose {' or '.join(f'sampler={one}' for one in samplers)}, or leave it out",
            )


def _leaves(campaign: Campaign, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, value and default of the setting at `path`, or of all settings below it."""
    value: Any = campaign
    default: Any = None
    for part in path.split("."):
        if isinstance(value, BaseModel):
            field = type(value).model_fields[part]
            default = field.get_default(call_default_factory=True)
            value = getattr(value, part)
        else:
            value = value[part]
    below = (
        dict.fromkeys(type(value).model_fields)
        if isinstance(value, BaseModel)
        else value
        if isinstance(value, Mapping)
        else None
    )
    if below is None:
        yield path, value, default
        return
    for name in below:
        yield from _leaves(campaign, f"{path}.{name}")


def _ignored_everywhere(space: Space, scheduler: Scheduler[Params], prefix: str) -> set[str]:
    """Return the parameters that a scheduler ignores at every point of the space."""
    fixed = _below(space.fixed, prefix)
    searched = {
        name: dimension.choices
        for name, dimension in _below(space.dimensions, prefix).items()
        if isinstance(dimension, Categorical)
    }
    found: set[str] | None = None
    for number, values in enumerate(product(*searched.values())):
        if number == MOST_COMBINATIONS:
            return set()
        try:
            params = scheduler.Params(**fixed, **dict(zip(searched, values, strict=True)))
        except ValidationError:
            continue  # options that exclude each other: no trial has them
        ignored = set(scheduler.policy(params).ignored)
        found = ignored if found is None else found & ignored
    return found or set()


def _never_used(scheduler: Scheduler[Params]) -> set[str]:
    """Return the parameters that a scheduler's policy ignores beside each of its options."""
    found = set(scheduler.policy(scheduler.Params()).ignored)
    for name, field in scheduler.Params.model_fields.items():
        for option in choices_of(field):
            with contextlib.suppress(ValidationError):  # it needs another option beside it
                found &= set(scheduler.policy(scheduler.Params(**{name: option})).ignored)
    return found


def _options(space: Space, scheduler: Scheduler[Params], prefix: str) -> str:
    """Return the options that are chosen, in words."""
    searched = _below(space.dimensions, prefix)
    given_here = _below(space.fixed, prefix)
    shown = [
        f"{name}={given_here.get(name, getattr(scheduler.Params(), name))}"
        for name, field in scheduler.Params.model_fields.items()
        if choices_of(field) and field.annotation is not bool and name not in searched
    ]
    return ", ".join(shown)


def _below(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        path.removeprefix(prefix): value
        for path, value in values.items()
        if path.startswith(prefix)
    }
