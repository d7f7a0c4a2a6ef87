"""A live cluster: the sequence of its states, what each of them allows, and lost nodes."""

import asyncio
import time
from pathlib import Path

import pytest

from actors.clusters import live
from actors.clusters.failures import NodeLost
from actors.clusters.identity import draw_keys, topology_of
from actors.clusters.live import ClusterState, LiveCluster, WrongClusterState, released_on_failure
from actors.hosts.slot import NodeShape
from actors.snapshots.snapshot import Golden, SnapshotKey
from campaign.core.errors import InfrastructureError, StallError
from campaign.core.phase_clock import PhaseClock
from tests.fakes.host import FakeHost, connect_to_fakes

LARGE = topology_of(3, 1, 512)
SMALL = topology_of(1, 1, 512)
KEYS = draw_keys(LARGE)
KEY = SnapshotKey({})
GOLDEN = Golden(Path(), KEY, (), {}, "seal", 1, 1)


class RecordedCluster(LiveCluster):
    """A live cluster that remembers the states that it went through."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "state":
            self.__dict__.setdefault("states", []).append(str(value))


@pytest.fixture
def remotes(monkeypatch):
    """The connections that a cluster makes, by node."""
    made = {}
    connect_to_fakes(monkeypatch, made)
    monkeypatch.setattr(live, "SETTLE_S", 0.0)
    monkeypatch.setattr(live, "WATCH_S", 0.01)
    return made


def deadline():
    return time.monotonic() + 60


async def placed(host):
    slot = await host.acquire("c", len(LARGE.nodes), NodeShape(1, 512), 0)
    return RecordedCluster(host, slot, LARGE, None, KEYS)


async def nothing():
    return 7


async def reached(host):
    cluster = await placed(host)
    await cluster.boot_recorded(host, KEY)
    await cluster.reach(deadline(), PhaseClock())
    return cluster


async def brought_to(state, host):
    """A cluster in `state`."""
    cluster = await placed(host)
    if state in (ClusterState.BOOTED, ClusterState.REACHED, ClusterState.SAVED):
        await cluster.boot_recorded(host, KEY)
    if state in (ClusterState.REACHED, ClusterState.SAVED):
        await cluster.reach(deadline(), PhaseClock())
    if state is ClusterState.SAVED:
        await cluster.save(host)
    if state is ClusterState.RESTORED:
        await cluster.restore(host, GOLDEN)
    if state is ClusterState.RELEASED:
        await cluster.release()
    if state is ClusterState.FAILED:
        host.refuses.add("start")
        with pytest.raises(InfrastructureError):
            await cluster.boot()
        host.refuses.clear()
    return cluster


def test_a_booted_cluster_is_reached_watched_and_released(remotes):
    async def run():
        cluster = await reached(FakeHost())
        assert await cluster.watch_during(nothing()) == 7
        assert sorted(cluster.remotes) == ["head", "n1", "n2", "n3"]
        await cluster.release()
        return cluster.states

    assert asyncio.run(run()) == ["placed", "booted", "reached", "watched", "reached", "released"]
    assert all(remote.closed for remote in remotes.values())


def test_a_restored_cluster_is_shrunk_and_resumed_and_its_clocks_are_set(remotes):
    async def run():
        host = FakeHost()
        cluster = await placed(host)
        await cluster.restore(host, GOLDEN)
        assert set(host.slots["c"].values()) == {"paused"}
        await cluster.shrink_to(SMALL)
        await cluster.resume(host, SMALL.guests, deadline(), PhaseClock())
        assert host.slots["c"] == {"head": "running", "n1": "running"}
        await cluster.release()
        return cluster.states

    assert asyncio.run(run()) == ["placed", "restored", "restored", "reached", "released"]
    assert all(remote.commands[0][:3] == ("date", "--utc", "--set") for remote in remotes.values())


def test_a_cluster_that_was_resumed_in_part_is_resumed_for_the_rest(remotes):
    async def run():
        host = FakeHost()
        cluster = await placed(host)
        await cluster.restore(host, GOLDEN)
        await cluster.resume(host, SMALL.guests, deadline(), PhaseClock())
        first = dict(remotes)
        assert sorted(cluster.remotes) == ["head", "n1"]
        await cluster.shrink_to(topology_of(2, 1, 512))
        await cluster.resume(host, cluster.topology.guests, deadline(), PhaseClock())
        assert sorted(cluster.remotes) == ["head", "n1", "n2"]
        assert all(remotes[node] is remote for node, remote in first.items())
        assert sorted(host.slots["c"]) == ["head", "n1", "n2"]

    asyncio.run(run())


def test_a_cluster_is_saved_only_after_its_connections_are_closed(remotes):
    async def run():
        host = FakeHost()
        cluster = await reached(host)
        saved = host.save

        async def save(*arguments):
            assert all(remote.closed for remote in remotes.values())
            return await saved(*arguments)

        host.save = save
        assert await cluster.save(host) is host.golden_cluster
        await cluster.release()
        return cluster.states

    assert asyncio.run(run()) == ["placed", "booted", "reached", "saved", "released"]


CALLS = {
    "boot": lambda cluster: cluster.boot(),
    "boot_recorded": lambda cluster: cluster.boot_recorded(cluster._host, KEY),
    "restore": lambda cluster: cluster.restore(cluster._host, GOLDEN),
    "shrink_to": lambda cluster: cluster.shrink_to(SMALL),
    "resume": lambda cluster: cluster.resume(cluster._host, SMALL.guests, deadline(), PhaseClock()),
    "reach": lambda cluster: cluster.reach(deadline(), PhaseClock()),
    "watch_during": lambda cluster: cluster.watch_during(nothing()),
    "save": lambda cluster: cluster.save(cluster._host),
    "access": lambda cluster: asyncio.to_thread(cluster.access),
    "remotes": lambda cluster: asyncio.to_thread(lambda: cluster.remotes),
    "node_states": lambda cluster: cluster.node_states(),
    "release": lambda cluster: cluster.release(),
}
ALLOWED = {
    "placed": {"boot", "boot_recorded", "restore", "release"},
    "booted": {"reach", "node_states", "release"},
    "restored": {"shrink_to", "resume", "node_states", "release"},
    "reached": {
        *("shrink_to", "resume", "watch_during", "save", "access", "remotes"),
        *("node_states", "release"),
    },
    "watched": {"access", "remotes", "node_states", "release"},
    "saved": {"node_states", "release"},
    "failed": {"node_states", "release"},
    "released": {"release"},
}


@pytest.mark.parametrize("state", ALLOWED)
@pytest.mark.parametrize("method", CALLS)
def test_a_method_is_refused_outside_its_states_and_says_which_they_are(remotes, method, state):
    async def call(cluster):
        assert cluster.state == state
        if method in ALLOWED[state]:
            await CALLS[method](cluster)
            return
        with pytest.raises(WrongClusterState) as refused:
            await CALLS[method](cluster)
        allowing = {each for each, methods in ALLOWED.items() if method in methods}
        assert set(refused.value.required) == allowing
        assert str(refused.value).endswith(f"this one is {state}")
        assert cluster.state == state

    async def run():
        if state == "watched":
            cluster = await reached(FakeHost())
            await cluster.watch_during(call(cluster))
        else:
            await call(await brought_to(ClusterState(state), FakeHost()))

    asyncio.run(run())


@pytest.mark.parametrize("step", ["start", "restore", "resume", "save"])
def test_a_step_that_breaks_off_leaves_a_cluster_that_can_only_be_released(remotes, step):
    async def run():
        host = FakeHost(refuses=[step])
        cluster = await placed(host)
        with pytest.raises(InfrastructureError, match=f"{step} is refused"):
            async with released_on_failure(cluster):
                if step in ("start", "save"):
                    await cluster.boot_recorded(host, KEY)
                    await cluster.reach(deadline(), PhaseClock())
                    await cluster.save(host)
                else:
                    await cluster.restore(host, GOLDEN)
                    await cluster.resume(host, LARGE.guests, deadline(), PhaseClock())
        assert host.released == ["c"]
        return cluster.states

    assert asyncio.run(run())[-2:] == ["failed", "released"]


def test_work_that_fails_leaves_a_cluster_that_can_be_used_further(remotes):
    async def stalled():
        raise StallError("halted")

    async def run():
        cluster = await reached(FakeHost())
        with pytest.raises(StallError):
            await cluster.watch_during(stalled())
        return await cluster.watch_during(nothing())

    assert asyncio.run(run()) == 7


def test_a_node_that_ends_cancels_the_work_and_is_named(remotes):
    async def run():
        host = FakeHost()
        cluster = await reached(host)
        cancelled = []

        async def work():
            host.slots["c"]["n2"] = "shutoff"
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.append(True)

        with pytest.raises(NodeLost, match="n2 was lost: its VM is shutoff") as lost:
            await cluster.watch_during(work())
        assert cancelled == [True]
        assert (lost.value.node, lost.value.details) == ("n2", "console of n2")
        assert cluster.state == "reached"

    asyncio.run(run())


def test_a_lost_node_explains_a_broken_connection(remotes):
    async def run():
        host = FakeHost()
        cluster = await reached(host)

        async def work():
            host.slots["c"]["n1"] = "crashed"
            raise InfrastructureError("connection lost")

        with pytest.raises(NodeLost, match="n1 was lost"):
            await cluster.watch_during(work())

    asyncio.run(run())


def test_a_node_that_never_answers_is_told_with_its_console(remotes, monkeypatch):
    async def connect(node, *_, **__):
        raise InfrastructureError(f"{node} can't be reached by SSH in time")

    async def run():
        cluster = await placed(FakeHost())
        await cluster.boot()
        await cluster.reach(deadline(), PhaseClock())

    monkeypatch.setattr(live.Remote, "connect", connect)
    with pytest.raises(InfrastructureError, match="can't be reached") as caught:
        asyncio.run(run())
    assert "console of" in caught.value.details
    assert "cluster.boot_deadline_s" in caught.value.resolution


def test_steps_are_logged_with_their_durations(remotes, caplog):
    with caplog.at_level("DEBUG", "actors.clusters.live"):
        asyncio.run(reached(FakeHost()))
    ended = [record.span for record in caplog.records if record.event == "end"]
    assert ended == ["boot_recorded of c", "reach of c"]
