"""`hpc-campaign export ansible`: the bootstrap plan of one point of a campaign, as a folder
for Ansible."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from campaign.config.compose import Composed, compose
from campaign.config.default_point import default_point
from campaign.core.errors import ConfigError, ImageError
from campaign.core.files import user_path
from schedulers.base import BootstrapPlan, File, Topology
from schedulers.facts import ImageFacts


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("tool", choices=["ansible"], help="what the plan is written for")
    parser.add_argument(
        "overrides", nargs="*", metavar="SETTING", help="settings as for a search: cluster.nodes=3"
    )
    parser.add_argument(
        "--out", type=user_path, metavar="FOLDER", help="where to write (default: NAME-ansible)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the folder, and say what is in it."""
    from actors.bootstrap.ansible import write

    composed = compose(options.overrides)
    place = options.out or Path(f"{composed.campaign.name}-ansible")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(
            f"{place} exists", resolution="Choose another --out FOLDER, or remove it."
        )
    write(place, files(composed))
    print("\n".join(_searched_lines(composed)))
    print(f"{place} holds the playbook; {place}/README.md says what to fill in")
    return 0


def files(composed: Composed) -> Sequence[File]:
    """The folder's files, with fresh keys for the cluster."""
    from actors.clusters.identity import topology_of
    from schedulers.ansible import Target, folder

    campaign = composed.campaign
    scheduler = composed.scheduler
    point = default_point(composed)
    cluster = campaign.cluster
    topology = topology_of(composed.space.nodes(point), cluster.slots_per_node, cluster.memory_mib)
    params = scheduler.Params(**composed.space.params(point))
    bound = scheduler.for_image(_facts(composed))
    plan = bound.plan(topology, params, scheduler.make_secrets())
    targets = [
        Target(node.name, f"{node.role}_nodes", {"ansible_host": node.address})
        for node in topology.nodes
    ]
    lines = _readme(composed, topology, plan)
    return (File("README.md", ("\n".join(lines) + "\n").encode()), *folder(plan, targets))


def _facts(composed: Composed) -> ImageFacts:
    """What the image says of itself: the built one, or its specification."""
    from campaign.images.bundles.facts import image_facts
    from campaign.images.debian.builder import spec
    from campaign.testbeds.preflight import store_of

    name = composed.image_name(composed.scheduler)
    try:
        store = store_of(composed.campaign.image)
        return image_facts(store.get(composed.campaign.image.hash or name).manifest)
    except ImageError:
        return ImageFacts(name, spec(name).facts)


def _searched_lines(composed: Composed) -> Iterator[str]:
    from campaign.cli.dry_run import dimension_text

    point = default_point(composed)
    for path, dimension in composed.space.dimensions.items():
        yield (
            f"{path} = {point[path]} (searched in {dimension_text(dimension)}; set {path}=... "
            "to choose another)"
        )


def _readme(composed: Composed, topology: Topology, plan: BootstrapPlan) -> Iterator[str]:
    name = composed.scheduler.name
    compute = topology.compute
    addresses = [node.address.encode() for node in topology.nodes]
    settings = [f"{path} = {value}" for path, value in composed.space.fixed.items()]
    placed = {file.path: file for _, file in plan.files()}
    yield f"# {name} on a head and {len(compute)} compute nodes, by Ansible\n"
    yield (f"Made by `hpc-campaign export ansible` from the campaign `{composed.campaign.name}`.\n")
    yield from (f"- {line}" for line in (*settings, *_searched_lines(composed)))
    yield "\n## Before you run it\n"
    image = composed.image_name(composed.scheduler)
    yield f"1. The machines have python3, {name}, and whatever else is in the image `{image}`."
    yield "   They know each other by the names in `inventory.yml` (by `/etc/hosts` or DNS)."
    yield (
        "2. `inventory.yml`: put the addresses at which *you* reach the machines into "
        "`ansible_host`."
    )
    yield (
        "3. Addresses at which the machines reach *each other* stand in these files; replace "
        "them where yours differ:"
    )
    yield from (
        f"   - `{path}`"
        for path, file in placed.items()
        if any(one in file.content for one in addresses)
    )
    yield (
        f"   So may what a node offers: {compute[0].slots} slots and {compute[0].memory_mib} "
        "MiB of memory."
    )
    yield (
        "4. Host keys: have those of your machines in `~/.ssh/known_hosts`; the playbook turns "
        "no check off."
    )
    yield (
        "5. `secrets/` holds keys drawn for this cluster alone. Keep it out of version "
        "control, or encrypt its files"
    )
    yield "   with `ansible-vault encrypt`: the playbook reads both.\n"
    yield "## Run it\n"
    yield "    ansible-playbook playbook.yml\n"
    yield "A second run changes nothing. ansible-core 2.19 is what it was tested with."
