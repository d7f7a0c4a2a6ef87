"""One plan by our SSH and by Ansible, on real nodes: the same is left behind, and ours changes
nothing of either."""

import asyncio
import time

import pytest

from actors.bootstrap.ansible import play
from actors.bootstrap.apply import apply_plan
from actors.clusters.identity import topology_of
from actors.hosts.host import Host
from actors.hypervisor.lease import Owner
from campaign.core.phase_clock import PhaseClock
from campaign.images.bundles.facts import image_facts
from campaign.schema.hosts import HostSettings
from schedulers.registry import adapter
from tests.system.trials import TIMEOUT_S, booted

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1500)]

TOPOLOGY = topology_of(1, 4, 512)
OF_ONE_CLUSTER = "-path /etc/ssh -o -path /etc/systemd/network -o -name machine-id"
"""What differs between any two clusters."""


@pytest.fixture(scope="module")
def host(tmp_path_factory, bundle):
    settings = HostSettings(
        uri="private", state_dir=str(tmp_path_factory.mktemp("host")), acceleration="auto"
    )
    opened = Host("test", settings, bundle, Owner.current())
    yield opened
    opened.close()


async def by_ssh(plan, cluster):
    await apply_plan(
        plan, cluster.remotes, deadline=time.monotonic() + TIMEOUT_S, clock=PhaseClock()
    )


async def by_ansible(plan, cluster):
    await play(plan, cluster.access(), deadline=time.monotonic() + TIMEOUT_S, clock=PhaseClock())


async def on_all(cluster, script):
    """What `script` prints on each node."""
    names = cluster.remotes
    said = [remote.succeed(("bash", "-c", script), timeout_s=120) for remote in names.values()]
    return dict(zip(names, await asyncio.gather(*said), strict=True))


async def left_behind(cluster):
    """Every file below /etc with mode, owner and content, and every service that runs."""
    below = f"find /etc \\( {OF_ONE_CLUSTER} \\) -prune -o"
    modes = f"{below} -printf '%p %y %m %u:%g\\n'"
    contents = f"{below} -type f -exec sha256sum {{}} +"
    units = (
        "systemctl list-units --type=service --state=running --plain --no-legend | cut -d' ' "
        "-f1 | grep -v ^ssh"
    )
    return await on_all(cluster, f"{{ {modes}; {contents}; {units}; }} | sort")


async def untouched(cluster, plan):
    """What any writing of a file or restart of a unit would change."""
    files = " ".join(sorted({file.path for _, file in plan.files()}))
    units = " ".join(
        sorted(
            {u.name for stage in plan.stages for step in stage.steps.values() for u in step.units}
        )
    )
    shown = f"systemctl show -p Id,MainPID,ActiveState,ActiveEnterTimestampMonotonic {units}"
    return await on_all(cluster, f"stat -c '%n %i %y %z' {files} 2>/dev/null; {shown}")


async def applied(host, bundle, plan, name, ways):
    """Apply by each of `ways`, of which only the first may change anything; returns what is left
    behind."""
    async with booted(host, bundle, name, TOPOLOGY) as cluster:
        found = []
        for way in ways:
            await way(plan, cluster)
            found.append(await untouched(cluster, plan))
        assert all(later == found[0] for later in found[1:]), (
            "applying again wrote a file or restarted a unit"
        )
        return await left_behind(cluster)


def test_both_ways_leave_the_same_and_ours_changes_nothing_of_either(host, bundle):
    slurm = adapter("slurm")
    bound = slurm.for_image(image_facts(bundle.manifest))
    plan = bound.plan(TOPOLOGY, slurm.Params(), slurm.make_secrets())

    async def both():
        ways = {"ours": (by_ssh, by_ssh), "theirs": (by_ansible, by_ssh)}
        return await asyncio.gather(
            *(applied(host, bundle, plan, *of_one) for of_one in ways.items())
        )

    ours, theirs = asyncio.run(both())
    assert (
        "slurmctld.service" in ours["head"]
        and "slurmd.service" in ours["n1"]
        and "munge.key" in ours["n1"]
    )
    assert ours == theirs
