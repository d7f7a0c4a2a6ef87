"""One point's bootstrap plan as a folder for Ansible: playbook, inventory, files and a README."""

from collections.abc import Iterator, Sequence

from actors.clusters.identity import configured_topology
from campaign.config.compose import Composed
from campaign.core.errors import ImageError
from campaign.images.bundles.facts import image_facts
from campaign.images.debian.builder import spec
from campaign.testbeds.preflight import store_of
from schedulers.ansible import Target, folder
from schedulers.base import LOOPBACK, BootstrapPlan, File, Topology
from schedulers.facts import ImageFacts
from search.space import dimension_text


def files(composed: Composed) -> Sequence[File]:
    """Return the folder's files, with fresh keys for the cluster."""
    campaign = composed.campaign
    scheduler = composed.scheduler
    point = composed.baseline.point
    cluster = campaign.cluster
    topology = configured_topology(composed.space.nodes(point), cluster, scheduler)
    params = scheduler.Params(**composed.space.params(point))
    bound = scheduler.for_image(_facts(composed))
    plan = bound.plan(topology, params, scheduler.make_secrets()).by_guest(topology)
    machines = [topology.nodes_of(guest)[0] for guest in topology.guests]
    targets = [
        Target(node.name, f"{node.role}_nodes", {"ansible_host": node.address}) for node in machines
    ]
    lines = _readme(composed, topology, plan)
    return (File("README.md", ("\n".join(lines) + "\n").encode()), *folder(plan, targets))


def _facts(composed: Composed) -> ImageFacts:
    """What the image says of itself: the built one, or its specification."""
    name = composed.image_name(composed.scheduler)
    try:
        store = store_of(composed.campaign.image)
        return image_facts(store.get(composed.campaign.image.hash or name).manifest)
    except ImageError:
        return ImageFacts(name, spec(name).facts)


def searched_lines(composed: Composed) -> Iterator[str]:
    """Yield a line for each searched setting: the value that was taken, and out of what."""
    point = composed.baseline.point
    for path, dimension in composed.space.dimensions.items():
        yield (
            f"{path} = {point[path]} (searched in {dimension_text(dimension)}; set {path}=... "
            "to choose another)"
        )


def _readme(composed: Composed, topology: Topology, plan: BootstrapPlan) -> Iterator[str]:
    name = composed.scheduler.name
    compute = topology.compute
    addresses = [node.address.encode() for node in topology.nodes if node.address != LOOPBACK]
    settings = [f"{path} = {value}" for path, value in composed.space.fixed.items()]
    placed = {file.path: file for _, file in plan.files()}
    where = ", all on one machine" if topology.dense else ""
    yield f"# {name} on a head and {len(compute)} compute nodes{where}, by Ansible\n"
    yield (f"Made by `hpc-campaign export ansible` from the campaign `{composed.campaign.name}`.\n")
    yield from (f"- {line}" for line in (*settings, *searched_lines(composed)))
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
