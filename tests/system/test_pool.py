"""The hosts of a campaign under real Ray, on libvirt's own test driver, which has no VMs: opened,
lost, opened again, drained, added; and trials whose host or actor dies or falls silent."""

import asyncio
import contextlib
import os
import signal
import sys
import time

import pytest

from actors.clusters import cluster_spec
from actors.clusters.trial_run import TrialSpec
from actors.hosts import ray_session
from actors.hosts.placement import Placement
from campaign.core.commands import OperatorCommand
from campaign.core.errors import InfrastructureError
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.time_limits import TimeLimits
from campaign.core.trials import Trial
from campaign.images.bundles.store import Store
from campaign.schema import model
from campaign.schema.hosts import HostSettings, TestbedSettings
from schedulers.base import PhaseLimits
from schedulers.registry import adapter
from schedulers.slurm.adapter import Slurm
from tests.unit.campaign.images.test_store import add

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def ray():
    """One Ray for all tests here, as a campaign starts it."""
    before = dict(os.environ)
    ray_session.prepare(None)
    ray_session.start(None)
    yield
    ray_session.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def opened(tmp_path, monkeypatch, caplog):
    """Opens a pool of the named hosts; the commands that it gets are a list."""
    caplog.set_level("INFO")
    from actors.hosts import pool as pools

    monkeypatch.setattr(pools.ray_session, "start", lambda address: None)
    monkeypatch.setattr(pools.ray_session, "stop", lambda: None)
    monkeypatch.setattr(pools, "FIRST_RETRY_S", 0.5)
    monkeypatch.setattr(pools, "PING_INTERVAL_S", 0.2)
    bundle = add(Store(tmp_path / "images"))
    pools_made = []

    def opening(*names, **settings):
        hosts = {name: host_settings(tmp_path, name) for name in names}
        commands = []

        def new():
            given = list(commands)
            commands.clear()
            return given

        testbed = TestbedSettings(**settings)
        pool = pools.Pool(hosts, [bundle], "demo", testbed, commands=new)
        pools_made.append(pool)
        return pool.__enter__(), commands

    yield opening
    for pool in pools_made:
        pool.close()


def host_settings(tmp_path, name, **changes):
    known = {
        "uri": "test:///default",
        "state_dir": str(tmp_path / name),
        "acceleration": "tcg",
        "memory_mib": 4000,
    }
    return HostSettings(**known | changes)


def until(pool, wanted, seconds=60):
    """Look at the hosts until a change is what is wanted; it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for change in pool.poll():
            if wanted(change):
                return change
        time.sleep(0.05)
    raise AssertionError("it didn't happen")


def test_a_host_whose_actor_dies_is_lost_and_opened_again(opened, caplog):

    pool, _ = opened("a", "b")
    assert set(pool.facts) == {"a", "b"}
    pool.poll()
    pool.actor("a").kill()
    lost = until(pool, lambda change: change.gone)
    assert (
        lost.host == "a"
        and set(pool.facts) == {"b"}
        and any("host a is unreachable" in line for line in caplog.messages)
    )
    back = until(pool, lambda change: change.facts is not None)
    assert back.host == "a" and set(pool.facts) == {"a", "b"}


def test_a_host_that_is_suspected_with_reason_is_lost_at_once(opened, monkeypatch):
    import ray

    from actors.hosts import pool as pools
    from actors.hosts.host_actor import HostActor

    pool, _ = opened("a", "b")
    pool.poll()
    monkeypatch.setattr(pools, "PING_INTERVAL_S", 1000.0)
    pool.suspect("b")
    os.kill(pool.facts["a"].pid, signal.SIGKILL)
    ray.wait([pool.actor("a").send(HostActor.ping)], timeout=10)
    pool.suspect("a")
    (lost,) = pool.poll()
    assert (lost.host, lost.gone) == ("a", True) and set(pool.facts) == {"b"}


def test_a_host_that_falls_silent_is_lost_and_opened_again(opened):
    pool, _ = opened("a", heartbeat_timeout_s=5)
    pool.poll()
    process = pool.facts["a"].pid
    os.kill(process, signal.SIGSTOP)
    try:
        lost = until(pool, lambda change: change.gone)
        assert "hasn't answered" in lost.why
        assert until(pool, lambda change: change.facts is not None).facts.pid != process
    finally:
        with contextlib.suppress(ProcessLookupError):  # Ray has ended it
            os.kill(process, signal.SIGKILL)


def test_a_host_that_cannot_be_opened_is_tried_again_while_others_serve(opened, tmp_path, caplog):
    from actors.hosts import pool as pools

    pool, commands = opened("a")
    commands.append(
        OperatorCommand(
            action="serve", host="c", settings=host_settings(tmp_path, "c", uri="test:///nowhere")
        )
    )
    failed = until(pool, lambda change: change.gone)
    assert failed.host == "c" and "host c is added" in caplog.messages and set(pool.facts) == {"a"}
    assert until(pool, lambda change: change.gone).host == "c"  # once more, after a longer while
    assert sum("host c is unreachable" in line for line in caplog.messages) == 1
    assert pools.MAX_RETRY_S >= 60


class Endless:
    """A cluster's actor that answers, but whose trial never ends."""

    def __init__(self, *_):
        pass

    async def evaluate(self, _):
        await asyncio.sleep(3600)

    async def status(self):
        return Status(Phase.READY, 0.0, "waiting for ever")


def test_a_trial_that_misses_all_its_deadlines_is_given_up(opened, monkeypatch):
    import ray

    from actors import libvirt_testbed

    ray.cloudpickle.register_pickle_by_value(
        sys.modules[__name__]
    )  # Ray's workers don't know the tests
    monkeypatch.setattr(
        libvirt_testbed, "_CLUSTER_ACTOR", ray.remote(num_cpus=0, max_concurrency=4)(Endless)
    )
    monkeypatch.setattr(cluster_spec, "LEASE_MARGIN_S", 0)
    # Those that no setting of a campaign has; the others are set below.
    limits = PhaseLimits(boot_s=1.0, configure_s=1.0, smoke_test_s=0.0, collect_s=0.0)
    monkeypatch.setattr(Slurm, "phase_limits", limits)
    monkeypatch.setattr(TimeLimits, "unanswered_s", 0.0)
    pool, _ = opened("a")
    testbed = trials_on(
        pool, Placement(), boot_deadline_s=1, bootstrap_deadline_s=1, workload_deadline_s=1
    )
    testbed.start(TRIAL)
    ended = []
    deadline = time.monotonic() + 60
    while not ended and time.monotonic() < deadline:
        ended = testbed.wait(0.2)
        testbed.statuses()
    ((_, evaluation),) = ended
    assert evaluation.outcome == "infrastructure_failed" and evaluation.host == "a"
    assert evaluation.reason == "it isn't done after 7 s (ready waiting for ever)"


def test_a_host_that_was_taken_out_serves_again_when_no_other_is_left(opened):
    pool, commands = opened("a", "b")
    placement = Placement()
    testbed = trials_on(pool, placement)
    placement.take_out("a", "trials failed there")
    testbed.wait(0.1)
    assert set(placement.out_of_service) == {"a"}
    commands.append(OperatorCommand(action="drain", host="b"))
    testbed.wait(0.1)
    assert set(placement.out_of_service) == {"b"} and testbed.room() == 1


TRIAL = Trial(number=0, point={})


def trials_on(pool, placement, **cluster):
    """A testbed whose trials are of one compute node, on the hosts of a pool."""
    from actors.libvirt_testbed import LibvirtTestbed

    settings = model.ClusterSettings(start="cold", **cluster)
    spec_of_all = cluster_spec.ClusterSpec(
        "demo", adapter("slurm"), settings, pool._bundles[0], 1, 1
    )
    spec = TrialSpec(TRIAL, "slurm", 1, {}, model.ValiditySettings(), None)
    return LibvirtTestbed(
        pool, {"slurm": spec_of_all}, lambda _: spec, placement, heartbeat_timeout_s=60
    )


def test_where_no_host_opens_the_first_error_is_raised(opened, tmp_path):
    from actors.hosts.pool import Pool
    from actors.hypervisor.errors import LibvirtUnreachable

    hosts = {"c": host_settings(tmp_path, "c", uri="test:///nowhere")}
    pool = Pool(hosts, [add(Store(tmp_path / "images"))], "demo", TestbedSettings())
    with pytest.raises(LibvirtUnreachable, match="nowhere"), pool:
        pass


def test_a_host_with_another_version_of_the_program_is_not_opened(opened, monkeypatch):
    from actors.hosts import pool as pools

    monkeypatch.setattr(pools, "source_digest", lambda: "another")
    with pytest.raises(InfrastructureError, match="another version"):
        opened("a")


def test_hosts_are_drained_serve_again_and_are_added(opened, tmp_path, caplog):
    pool, commands = opened("a", "b")
    pool.poll()
    commands.append(OperatorCommand(action="drain", host="a"))
    drained = until(pool, lambda change: change.why == "it is drained")
    assert drained.host == "a" and not drained.gone
    commands.append(OperatorCommand(action="serve", host="a"))
    assert until(pool, lambda change: change.facts is not None).host == "a"
    commands.append(
        OperatorCommand(action="serve", host="c", settings=host_settings(tmp_path, "c"))
    )
    assert until(pool, lambda change: change.facts is not None).host == "c"
    assert set(pool.facts) == {"a", "b", "c"}
    commands.append(OperatorCommand(action="drain", host="unknown"))
    pool.poll()
    assert caplog.messages[-1] == "there is no host unknown to drain"


def test_hosts_drained_before_the_start_stay_closed(opened, tmp_path):
    from actors.hosts.pool import Pool

    pool = Pool(
        {"a": host_settings(tmp_path, "a")},
        [add(Store(tmp_path / "images"))],
        "demo",
        TestbedSettings(),
        commands=lambda: [OperatorCommand(action="drain", host="a")],
    )
    with pytest.raises(InfrastructureError, match="every host is drained"), pool:
        pass
