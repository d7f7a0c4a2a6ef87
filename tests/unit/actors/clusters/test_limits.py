"""Limits of phases: the scheduler's own, as a slow host needs them, and those that a campaign
sets."""

import asyncio
import time
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from actors.bootstrap.apply import BootstrapFailed
from actors.clusters import limits as module
from actors.clusters.cluster_spec import ANSIBLE_DEADLINE_FACTOR, ClusterSpec
from actors.clusters.failures import NodeLost
from actors.clusters.limits import PhaseLimit, scheduled_limit
from actors.hypervisor.calibration import EMULATION_SLOWNESS, Calibration
from campaign.core.errors import InfrastructureError
from campaign.core.time_limits import MOST_PRESSURE, TimeLimits
from campaign.schema.model import ClusterSettings
from schedulers.registry import adapter

VOLCANO = adapter("volcano")


def limits_of(slowness, via="ssh", **settings):
    spec = ClusterSpec("test", VOLCANO, ClusterSettings(**settings), None, 1, 1, via=via)
    return spec.limits(slowness)


def test_a_slow_host_is_given_as_many_times_more():
    """Volcano's smoke test on emulated nodes has more than the whole bootstrap had once."""
    emulated = limits_of(EMULATION_SLOWNESS)
    assert emulated.smoke_test.seconds == VOLCANO.phase_limits.smoke_test_s * EMULATION_SLOWNESS
    assert emulated.smoke_test.seconds == 600
    assert emulated.configure.seconds == 600
    assert emulated.smoke_test.exceeded == (
        "phase 'smoke test' of volcano took longer than 600 s "
        "(limit 120 s x 5.0 for this host's speed)"
    )


def test_what_a_campaign_sets_is_the_limit_and_its_default_the_least():
    fast = limits_of(1.0)
    assert (fast.boot.seconds, fast.configure.seconds) == (300, 300)
    short = limits_of(EMULATION_SLOWNESS, boot_deadline_s=25, bootstrap_deadline_s=700)
    assert (short.boot.seconds, short.configure.seconds) == (25, 700)
    assert short.boot.exceeded.endswith("longer than 25 s (cluster.boot_deadline_s)")
    assert "cluster.boot_deadline_s" in short.boot.resolution


def test_limits_grow_with_slowness_and_pressure_and_are_never_shorter_than_stated():
    spec = ClusterSpec("test", VOLCANO, ClusterSettings(), None, 1, 1)
    least = spec.limits(0.1, 0.1)
    assert least == spec.limits(1.0) and least.questions == TimeLimits()
    slow = spec.limits(EMULATION_SLOWNESS)
    busy = spec.limits(EMULATION_SLOWNESS, 2.0)
    for one in ("configure", "smoke_test", "collect"):
        stated, longer, longest = (getattr(limits, one).seconds for limits in (least, slow, busy))
        assert stated < longer < longest
    for one in asdict(least.questions):
        stated, longer, longest = (getattr(limits.questions, one) for limits in (least, slow, busy))
        assert stated < longer < longest
    assert slow.questions.stretch == EMULATION_SLOWNESS
    assert spec.limits(1.0, 100.0) == spec.limits(1.0, MOST_PRESSURE)


def test_what_is_measured_has_a_deadline_of_its_own_to_be_brought_home():
    assert limits_of(EMULATION_SLOWNESS).collect.exceeded == (
        "phase 'collecting' of volcano took longer than 900 s "
        "(limit 180 s x 5.0 for this host's speed)"
    )


def test_a_playbook_has_longer_whoever_says_so():
    for settings in ({}, {"bootstrap_deadline_s": 10}):
        ours = limits_of(EMULATION_SLOWNESS, **settings).configure.seconds
        theirs = limits_of(EMULATION_SLOWNESS, via="ansible", **settings).configure.seconds
        assert theirs == ours * ANSIBLE_DEADLINE_FACTOR


def test_a_lease_outlives_every_phase():
    spec = ClusterSpec("test", VOLCANO, ClusterSettings(workload_deadline_s=50), None, 1, 1)
    busiest = spec.limits(5.0, MOST_PRESSURE)
    used_s = 50 + busiest.questions.unanswered_s + busiest.collect.seconds
    assert spec.lease_s(5.0) > busiest.making_s + used_s > spec.lease_s(1.0)
    assert spec.trial_deadline_s(5.0) == spec.lease_s(5.0) + 2 * busiest.making_s


@pytest.mark.parametrize(
    ("calibration", "slowness"),
    [
        (Calibration(400.0, 4000.0, 60.0), 1.0),
        (Calibration(2000.0, 20_000.0, 60.0), 1.0),
        (Calibration(100.0, 4000.0, 60.0), 4.0),
        (Calibration(400.0, 2000.0, 60.0), 2.0),
    ],
)
def test_slowness_is_against_the_reference_machine(calibration, slowness):
    assert calibration.slowness == slowness


def overrun(error, seconds=0.05, taken_s=0.1):
    """What a phase of `seconds` ends with whose work fails with `error` after `taken_s`."""

    async def run():
        async with scheduled_limit("configure", "slurm", seconds, 1.0).deadline() as deadline:
            assert deadline - time.monotonic() <= seconds
            await asyncio.sleep(taken_s)
            raise error

    asyncio.run(run())


@pytest.fixture
def exact(monkeypatch):
    monkeypatch.setattr(module, "ROUNDING_S", 0.0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BootstrapFailed("n1: probe"), BootstrapFailed),
        (ExceptionGroup("", [BootstrapFailed("n1: probe")]), BootstrapFailed),
        (InfrastructureError("n1: no answer"), InfrastructureError),
        (OSError("n1: closed"), InfrastructureError),
    ],
)
def test_an_overrun_names_phase_and_limit_and_keeps_what_was_said(exact, error, kind):
    with pytest.raises(kind, match=r"phase 'configure' of slurm took longer than 0.05 s") as told:
        overrun(error)
    assert type(told.value) is kind
    assert "limit 0.05 s x 1.0 for this host's speed" in told.value.brief
    assert "n1: " in told.value.details


def test_what_fails_in_time_is_told_as_it_is(exact):
    with pytest.raises(BootstrapFailed, match=r"^n1: a step"):
        overrun(BootstrapFailed("n1: a step"), seconds=60.0, taken_s=0.0)


def test_a_lost_node_explains_itself(exact):
    with pytest.raises(NodeLost):
        overrun(NodeLost("n1", "its VM is gone", ""))


def test_limits_travel():
    import pickle

    one = PhaseLimit("boot", "slurm", 3.0, "because")
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_host_with_emulated_guests_is_slower():
    from actors.hosts.slot import HostFacts

    fast = Calibration(400.0, 4000.0, 60.0)
    for kind, slowness in (("kvm", 1.0), ("tcg", EMULATION_SLOWNESS)):
        acceleration = SimpleNamespace(kind=kind)
        facts = HostFacts("h", "uri", acceleration, None, None, fast, 1)
        assert facts.slowness == slowness
