"""`--dry-run`: what a campaign would build, boot and run, and whether what it needs is there."""

from collections.abc import Callable, Iterator

from actors.bootstrap.ansible import check_installed
from campaign.cli.output import say
from campaign.config.compose import Composed
from campaign.config.effects import ignored_parameters
from campaign.config.ladder import rehearsals
from campaign.core import optional
from campaign.core.errors import CampaignError, ImageError
from campaign.core.exits import USER_ERROR
from campaign.core.files import user_path
from campaign.core.jobs import Workload
from campaign.execution.attainable import check_metrics, check_rehearsals
from campaign.execution.distinct import fewer_trials, most_trials
from campaign.execution.estimate import earlier_campaigns, estimate_lines
from campaign.execution.taking_over import sources_of
from campaign.extras.required import require
from campaign.records.history import History
from campaign.testbeds.hardware_check import hardware_errors
from campaign.testbeds.preflight import Fit, check_ports, fits, store_of, workload_for
from search.distinct import size_of
from search.space import dimension_text


def forecast(composed: Composed) -> int:
    """Print the forecast; return 0 if the campaign could begin now, as far as can be told."""
    workload = workload_for(composed.campaign, composed.schedulers, composed.space)
    check_metrics(composed, workload)
    check_rehearsals(composed, workload)
    lines = list(_what(composed))
    possible = True
    if composed.campaign.testbed.kind == "simulation":
        lines.append("simulate   by discrete events: nothing is built or booted")
    else:
        machines, possible = _machines(composed)
        lines += machines
    schedulers = " or ".join(composed.schedulers)
    lines += [f"run        {_jobs(workload)} on {schedulers}, the same in every trial"]
    lines += [f"workload   {sentence}" for sentence in workload.sentences]
    lines += _estimates(composed, workload)
    lines += _settings(composed)
    say("\n".join(lines))
    return 0 if possible else USER_ERROR


def _what(composed: Composed) -> Iterator[str]:
    campaign = composed.campaign
    goals = ", ".join(f"{name} ({direction})" for name, direction in campaign.objectives.items())
    sampler = campaign.sampler.name
    wanted = campaign.search.trials
    trials = most_trials(campaign, composed.space, History())
    count = "1 trial" if trials == 1 else f"{trials} trials"
    yield f"campaign   {campaign.name}: {count}, sampler {sampler}"
    if trials < wanted:
        yield f"           {fewer_trials(trials, wanted)}"
    yield f"objectives {goals}"
    if campaign.search.ladder:
        first = int(min(rehearsals(campaign), size_of(composed.space)))
        yield f"rehearse   {first} points in simulation, from which trials are promoted"
    for source in sources_of(composed, History()):
        there = len(source.history.comparable())
        yield f"take over  what agrees of the {there} trials of {source.name}"


def _jobs(workload: Workload) -> str:
    jobs = "1 job" if len(workload) == 1 else f"{len(workload)} jobs"
    return f"{jobs} of {workload.name}"


def _estimates(composed: Composed, workload: Workload) -> Iterator[str]:
    """Yield what the campaign would take, and which jobs of a log are cut from it."""
    campaign = composed.campaign
    root = user_path(campaign.output.results)
    trials = most_trials(campaign, composed.space, History())
    instances = campaign.workload.instances
    runs = trials * instances
    if instances > 1:
        yield f"runs       {runs}: each trial on {instances} workloads, fewer where it has lost"
    if campaign.search.held_out:
        yield (
            f"hold-out   the front and the baseline, each on {campaign.search.held_out} more "
            "workloads, in the end; the time for these is not in the next line"
        )
    testbed = campaign.testbed.kind
    yield from estimate_lines(
        root,
        earlier_campaigns(root, testbed),
        runs=runs,
        workload_hash=workload.hash,
        testbed=testbed,
    )


def _machines(composed: Composed) -> tuple[list[str], bool]:
    """Return the lines about images and hosts, and whether all that is needed is there."""
    low, high = composed.space.node_counts()
    lines = []
    possible = True
    for name in sorted({composed.image_name(one) for one in composed.schedulers.values()}):
        line, there = _image(composed, name)
        lines.append(f"build      {line}")
        possible = possible and there
    for error in _refusals(composed):
        fix = [f"fix: {error.resolution}"] if error.resolution else []
        told = f"\n{'':11}".join((error.brief, *error.details.splitlines(), *fix))
        lines.append(f"lacking    {told}")
        possible = False
    memory = composed.campaign.cluster.memory_mib
    how = "all in one VM of" if composed.campaign.cluster.dense else "each a VM of"
    when = ", in virtual time" if composed.campaign.testbed.kind == "virtual-time" else ""
    lines.append(
        f"boot       clusters of {low}..{high} compute nodes and a head, {how} {memory} MiB{when}"
    )
    found = list(fits(composed.campaign, high))
    lines += [f"capacity   {_capacity(fit)}" for fit in found]
    far = composed.campaign.far_hosts
    lines += [f"capacity   {name}: checked when the campaign connects to it" for name in far]
    # As many hosts must have room as a cluster spans; far ones are asked later.
    enough = bool(far) or (
        sum(not fit.shortfall for fit in found) >= composed.campaign.cluster.hosts
    )
    return lines, possible and enough


def _refusals(composed: Composed) -> Iterator[CampaignError]:
    """Yield what a start would refuse on this machine, images and memory aside."""
    campaign = composed.campaign
    smallest, largest = composed.space.node_counts()
    checks: list[Callable[[], None]] = [
        lambda: optional.require("vm", f"testbed.kind = {campaign.testbed.kind}"),
        lambda: check_ports(campaign.local_hosts, campaign.cluster.vms(smallest)),
    ]
    if campaign.bootstrap.via == "ansible":
        checks.append(check_installed)
    for check in checks:
        try:
            check()
        except CampaignError as error:
            yield error
    yield from hardware_errors(campaign, largest)


def _capacity(fit: Fit) -> str:
    needed = fit.needed
    total = fit.total
    return (
        f"{fit.host} ({fit.acceleration}): the largest cluster needs "
        f"{needed.memory_mib} MiB, {needed.vcpus} vCPUs and {needed.ports} ports\n"
        f"           of {total.memory_mib} MiB, {total.vcpus} vCPUs and {total.ports} ports: "
        f"{fit.shortfall or 'it fits'}"
    )


def _settings(composed: Composed) -> Iterator[str]:
    idle = ignored_parameters(composed.space, composed.schedulers)
    for path, dimension in composed.space.dimensions.items():
        yield f"search     {path} in {dimension_text(dimension)}"
    for path, value in composed.space.fixed.items():
        yield f"fixed      {path} = {value}"
    for path, why in idle.items():
        yield f"no effect  {path}: {why}"


def _image(composed: Composed, name: str) -> tuple[str, bool]:
    """Return what would be done for an image, and whether it can be had."""
    image = composed.campaign.image
    store = store_of(image)
    try:
        bundle = store.get(image.hash or name)
    except ImageError:
        if image.build != "auto" or image.hash is not None:
            return f"image {image.hash or name} is MISSING in {store.path}", False
        try:
            require(name, image.builder, extras=image.extras)
        except ImageError as error:
            lines = [f"image {name} can't be built: {error.brief}", *error.details.splitlines()]
            if error.resolution:
                lines.append(f"fix: {error.resolution}")
            return f"\n{'':11}".join(lines), False
        return f"image {name} would be built in {store.path}", True
    return f"nothing: image {bundle.manifest.name} {bundle.hash[:12]} is in {store.path}", True
