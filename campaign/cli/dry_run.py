"""`--dry-run`: what a campaign would build, boot and run, what it needs, and whether that fits."""

from collections.abc import Iterator

from campaign.config.compose import Composed
from campaign.core.errors import ImageError
from campaign.core.exits import USER_ERROR
from campaign.core.jobs import Workload
from campaign.images.bundles.store import Store
from campaign.testbeds.preflight import fits, store_of, workload_for
from search.space import Categorical, Dimension, Integer


def forecast(composed: Composed) -> int:
    """Print the forecast; exit status 0 if all of it fits."""
    workload = workload_for(composed.campaign, composed.schedulers, composed.space)
    found = list(fits(composed.campaign, composed.space.node_counts()[1]))
    for line in _lines(composed, workload):
        print(line)
    for fit in found:
        needed = fit.needed
        total = fit.total
        print(
            f"capacity   {fit.host} ({fit.acceleration}): the largest cluster needs "
            f"{needed.memory_mib} MiB,"
        )
        print(
            f"           {needed.vcpus} vCPUs, {needed.ports} ports; there are "
            f"{total.memory_mib} MiB,"
        )
        print(f"           {total.vcpus} vCPUs, {total.ports} ports: {fit.shortfall or 'it fits'}")
    for name in composed.campaign.far_hosts:
        print(f"capacity   {name}: it is far, so it tells when it is opened")
    return (
        0 if composed.campaign.far_hosts or any(not fit.shortfall for fit in found) else USER_ERROR
    )


def _lines(composed: Composed, workload: Workload) -> Iterator[str]:
    campaign = composed.campaign
    space = composed.space
    low, high = space.node_counts()
    objectives = ", ".join(
        f"{name} ({direction})" for name, direction in campaign.objectives.items()
    )
    yield (
        f"campaign   {campaign.name}: {campaign.search.trials} trials, sampler "
        f"{campaign.sampler.name}"
    )
    yield f"objectives {objectives}"
    for scheduler in composed.schedulers.values():
        name = composed.image_name(scheduler)
        yield f"build      {_image(composed, name, store_of(campaign.image))}"
    yield (
        f"boot       clusters of {low}..{high} compute nodes and a head, "
        f"{campaign.cluster.memory_mib} MiB each"
    )
    schedulers = " or ".join(composed.schedulers)
    yield (
        f"run        {len(workload)} jobs of {workload.name} on {schedulers}, the same in "
        "every trial"
    )
    for path, dimension in space.dimensions.items():
        yield f"search     {path} in {dimension_text(dimension)}"
    for path, value in space.fixed.items():
        yield f"fixed      {path} = {value}"


def _image(composed: Composed, name: str, store: Store) -> str:
    image = composed.campaign.image
    try:
        bundle = store.get(image.hash or name)
    except ImageError:
        verb = "would be built" if image.build == "auto" and image.hash is None else "is MISSING"
        return f"image {image.hash or name} {verb} in {store.path}"
    return f"nothing: image {bundle.manifest.name} {bundle.hash[:12]} is in {store.path}"


def dimension_text(dimension: Dimension) -> str:
    """A dimension as people write it."""
    if isinstance(dimension, Categorical):
        return "{" + ", ".join(str(choice) for choice in dimension.choices) + "}"
    step = (
        f", step {dimension.step}" if isinstance(dimension, Integer) and dimension.step > 1 else ""
    )
    return f"[{dimension.low}, {dimension.high}]{', log' if dimension.log else ''}{step}"
