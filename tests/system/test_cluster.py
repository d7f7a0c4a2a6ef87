"""What a trial's life meets on real VMs: daemons that die, nodes that are lost, guests that never
come up."""

import asyncio
import dataclasses
import time

import pytest

from actors.hosts.host import Host
from actors.hosts.local import LocalHost
from actors.hypervisor.lease import Owner
from campaign.images.bundles import manifest as manifests
from campaign.schema.hosts import HostSettings
from campaign.schema.model import ClusterSettings
from tests.adapters import bound
from tests.system.trials import cluster_on, evaluate, host_on, remotes_of, until_running

pytestmark = [pytest.mark.vm, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def host(golden_state, bundle):
    with host_on(golden_state, bundle) as opened:
        yield opened


@pytest.mark.parametrize(("node", "daemon"), [("head", "slurmctld"), ("n1", "slurmd")])
def test_a_daemon_that_dies_fails_the_trial_with_its_log(host, bundle, monkeypatch, node, daemon):
    remotes = remotes_of(monkeypatch)

    async def kill():
        await remotes[node].succeed(("systemctl", "kill", "--signal=KILL", daemon), timeout_s=60)

    began = time.monotonic()
    result = asyncio.run(evaluate(cluster_on(LocalHost(host), bundle), kill))
    assert result.outcome == "scheduler_failed", result.reason
    assert f"{node}: a daemon of slurm died" in result.reason
    assert daemon in result.reason
    assert (
        time.monotonic() - began < ClusterSettings().workload_deadline_s / 2
    )  # noticed, not waited out
    assert any(daemon in name and content for name, content in result.files.items()), (
        "its log was not brought home"
    )


def test_a_node_that_is_lost_while_jobs_run_makes_the_trial_invalid(host, bundle, monkeypatch):
    local = LocalHost(host)
    remotes = remotes_of(monkeypatch)
    cluster = cluster_on(local, bundle)

    async def pull_the_plug():
        await until_running(remotes, bound("slurm"))
        host._hypervisor.destroy(f"{local.slots[-1].cluster}-n1")

    result = asyncio.run(evaluate(cluster, pull_the_plug))
    assert result.outcome == "invalid"
    assert "n1 was lost" in result.reason and "NODE_FAIL" in result.reason


def test_a_node_whose_clock_jumps_while_jobs_run_makes_the_trial_invalid(host, bundle, monkeypatch):
    remotes = remotes_of(monkeypatch)

    async def jump():
        await remotes["n1"].succeed(("date", "--set", "+5 seconds"), timeout_s=60)

    result = asyncio.run(evaluate(cluster_on(LocalHost(host), bundle, runtime_s=10.0), jump))
    assert result.outcome == "invalid"
    assert "clock" in result.reason, result.reason


def test_a_head_that_is_lost_fails_the_trial_as_infrastructure(host, bundle):
    local = LocalHost(host)
    cluster = cluster_on(local, bundle)

    async def pull_the_plug():
        host._hypervisor.destroy(f"{local.slots[-1].cluster}-head")

    result = asyncio.run(evaluate(cluster, pull_the_plug))
    assert result.outcome == "infrastructure_failed"
    assert "head was lost" in result.reason


def test_a_workload_that_comes_to_a_halt_is_stalled_with_what_it_waits_for(
    host, bundle, monkeypatch
):
    remotes = remotes_of(monkeypatch)
    cluster = cluster_on(LocalHost(host), bundle, runtime_s=10.0, width=4, stall_s=5)

    async def close_the_partition():
        await until_running(remotes, bound("slurm"))
        down = ("scontrol", "update", "PartitionName=main", "State=DOWN")
        await remotes["head"].succeed(down, timeout_s=60)

    result = asyncio.run(evaluate(cluster, close_the_partition))
    assert result.outcome == "stalled", result.reason
    assert "0 jobs run and 1 wait: PartitionDown (1)" in result.reason
    ended = {row["job_id"]: row["exit_code"] for row in result.jobs.to_pylist()}
    assert sorted(ended.values(), key=str) == [0, None], "what ran until then was not kept"


@pytest.fixture
def doctored(bundle, tmp_path):
    """The image with another kernel command line: makes a bundle."""

    def make(cmdline):
        for part in (bundle.kernel, bundle.initrd, bundle.root):
            (tmp_path / part.name).symlink_to(part)
        digest = manifests.content_hash(bundle.manifest.files, cmdline)
        manifest = bundle.manifest.model_copy(update={"kernel_cmdline": cmdline, "hash": digest})
        return dataclasses.replace(bundle, path=tmp_path, manifest=manifest)

    return make


def test_a_guest_that_panics_is_noticed_with_its_console(tmp_path_factory, doctored):
    bad = doctored("console=ttyS0 quiet panic=0 rdinit=/no-such-init root=/dev/no-such-disk")
    settings = HostSettings(
        uri="private", state_dir=str(tmp_path_factory.mktemp("panic")), acceleration="tcg"
    )
    host = Host("panic", settings, bad, Owner.current())
    try:
        result = asyncio.run(evaluate(cluster_on(LocalHost(host), bad, start="cold")))
    finally:
        host.close()
    assert result.outcome == "infrastructure_failed"
    assert (
        "was lost: Kernel panic" in result.reason
        or "was lost: Unable to mount root" in result.reason
    )


def test_a_guest_that_never_answers_is_given_up_with_its_console(
    tmp_path_factory, doctored, bundle
):
    mute = doctored(bundle.manifest.kernel_cmdline + " systemd.unit=emergency.target")
    settings = HostSettings(
        uri="private", state_dir=str(tmp_path_factory.mktemp("mute")), acceleration="tcg"
    )
    host = Host("mute", settings, mute, Owner.current())
    try:
        result = asyncio.run(
            evaluate(cluster_on(LocalHost(host), mute, start="cold", boot_deadline_s=25))
        )
    finally:
        host.close()
    assert result.outcome == "infrastructure_failed"
    assert "can't be reached by SSH in time" in result.reason
    assert "its console ends with" in result.reason
    assert "boot_deadline_s" in result.reason
