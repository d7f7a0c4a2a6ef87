"""What jobs do on real VMs while they run: a workload that burns CPU time keeps the CPUs of its
nodes busy."""

import asyncio

import pytest

from actors.hosts.local import LocalHost
from campaign.images.bundles.store import Store
from campaign.images.debian import builder
from tests.system.trials import cluster_on, evaluate, host_on, remotes_of

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]

RUNTIME_S = 20.0
WATCHED_S = 5.0


@pytest.fixture(scope="module")
def burning(image_store):
    """The image whose jobs can burn CPU time."""
    store = Store(image_store)
    found = [one for one in store.bundles() if one.manifest.name == "slurm-burn"]
    return found[0] if found else builder.build("slurm-burn", store=store, locked=False)


@pytest.fixture
def host(tmp_path, burning):
    with host_on(tmp_path, burning) as opened:
        yield opened


def test_jobs_that_burn_keep_the_cpu_of_their_node_busy_for_their_time(host, burning, monkeypatch):
    remotes = remotes_of(monkeypatch)
    shares = []

    async def watch():
        async def seen() -> tuple[float, float]:
            text = await remotes["n1"].succeed(("cat", "/proc/uptime", "/proc/stat"), timeout_s=60)
            words = text.split()
            return float(words[0]), (
                int(words[3]) + int(words[4])
            ) / 100  # at what time; user and nice, hundredths

        before = await seen()
        await asyncio.sleep(WATCHED_S)
        after = await seen()
        shares.append((after[1] - before[1]) / (after[0] - before[0]))

    cluster = cluster_on(
        LocalHost(host), burning, runtime_s=RUNTIME_S, payload="burn", start="cold"
    )
    result = asyncio.run(evaluate(cluster, watch))
    assert result.outcome == "ok", result.reason
    assert [row["exit_code"] for row in result.jobs.to_pylist()] == [0, 0]
    ran = [(row["end_ns"] - row["start_ns"]) / 1e9 for row in result.jobs.to_pylist()]
    assert all(RUNTIME_S <= one < 2 * RUNTIME_S for one in ran), ran
    assert shares and shares[0] > 0.6, shares
