"""Faults of a guest, seen from its nodes: each is felt by one of them, and is over afterwards."""

import asyncio
import random
import subprocess
import time

import pytest

from actors.clusters.identity import topology_of
from actors.hosts.host import Host
from actors.hypervisor.lease import Owner
from campaign.chaos.environment import HOSTS, NAME, ChaosEnvironment
from campaign.chaos.faults import FAULTS, LATE_S
from campaign.core.errors import CampaignError
from campaign.schema.hosts import HostSettings
from tests.system.trials import booted

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]

TOPOLOGY = topology_of(1, 2, 512)
SENT = 50
# Not a file of a running program: the pages that it has mapped stay in memory.
READ = (
    "echo 3 > /proc/sys/vm/drop_caches; s=$EPOCHREALTIME; head -c 600000 /usr/bin/python3 | wc -c "
    ">&2; echo $s $EPOCHREALTIME"
)


@pytest.fixture
def environment(tmp_path):
    """An environment whose driver does nothing, and does it long."""
    driver = subprocess.Popen(["sleep", "600"])
    yield ChaosEnvironment(tmp_path, tmp_path / "states", tmp_path, random.Random(1), driver)
    driver.kill()
    driver.wait()


@pytest.fixture
def host(environment, bundle):
    settings = HostSettings(uri="private", state_dir=str(environment.states / HOSTS[0]))
    opened = Host(HOSTS[0], settings, bundle, Owner.current())
    yield opened
    opened.close()


async def on_each(remotes, script, timeout_s=60):
    """What `script` prints on each node, in their order; None of one that didn't answer in time."""

    async def said(remote):
        try:
            return await remote.succeed(("bash", "-c", script), timeout_s=timeout_s)
        except CampaignError:
            return None

    return await asyncio.gather(*(said(remotes[node.name]) for node in TOPOLOGY.nodes))


async def clock_errors(remotes):
    """By how many seconds each node's clock is late."""
    errors = []
    for node in TOPOLOGY.nodes:
        told = await remotes[node.name].succeed(("bash", "-c", "echo $EPOCHREALTIME"), timeout_s=60)
        errors.append(time.time() - float(told))
    return errors


async def seconds_to_read(remotes):
    """How long each node takes to read a file from its disk."""
    spans = [
        [float(moment) for moment in told.split()] for told in await on_each(remotes, READ, 200)
    ]
    return [ended - began for began, ended in spans]


async def lost_of(remotes):
    """How many of the packets that the head sends don't reach the compute node."""
    _, node = TOPOLOGY.nodes
    send = f"for i in $(seq {SENT}); do echo > /dev/udp/{node.address}/9; sleep 0.1; done"

    async def received():
        told = await remotes[node.name].succeed(
            ("grep", "^Udp: [0-9]", "/proc/net/snmp"), timeout_s=60
        )
        return int(told.split()[2])  # those to a port that nobody listens at

    before = await received()
    await remotes["head"].succeed(("bash", "-c", send), timeout_s=200)
    return SENT - (await received() - before)


def test_each_fault_of_a_guest_is_felt_by_one_node_and_ends(environment, host, bundle):
    async def live():
        async with booted(host, bundle, f"{NAME}-t0-abcdef", TOPOLOGY) as cluster:
            remotes = cluster.remotes

            async def seen_during(fault, observe):
                injection = asyncio.create_task(asyncio.to_thread(FAULTS[fault], environment))
                await asyncio.sleep(1)
                seen = await observe
                assert not injection.done(), "the fault was over too early to be seen"
                assert await injection
                return seen

            before = await clock_errors(remotes)
            assert FAULTS["guest's clock late"](environment)
            late = sorted(
                now - then for now, then in zip(await clock_errors(remotes), before, strict=True)
            )
            assert abs(late[0]) < 1 and abs(late[1] - LATE_S) < 2, late

            quick = max(await seconds_to_read(remotes))
            slow = sorted(await seen_during("guest's disk slow", seconds_to_read(remotes)))
            assert slow[0] < 3 * quick + 1 and slow[1] > 5 * quick + 1, (quick, slow)

            assert 3 <= await seen_during("guest's packets lost", lost_of(remotes)) <= SENT - 10
            assert await lost_of(remotes) == 0

            answers = await seen_during("guest's connections cut", on_each(remotes, "echo here", 6))
            assert sorted(map(str, answers)) == ["None", "here\n"]
            assert await on_each(remotes, "echo here") == ["here\n", "here\n"]

    asyncio.run(live())
