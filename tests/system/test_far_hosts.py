"""Campaigns over hosts that are Ray nodes, each with a network, a libvirtd and an image store of
its own.

They are network namespaces of this machine. One is cut off in the midst of a trial, another loses
its libvirtd; then a cluster spans the two that are left.
"""

import os
import re
import signal
import sys
import time

import pytest

from actors.hypervisor.daemon import PrivateLibvirtd
from campaign.records.ledger import history_of
from campaign.records.results import Results
from tests.system.conftest import Workplace, processes_naming
from tests.system.driver import Driver
from tests.system.network import DRIVER, network_of

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1500)]

HOSTS = ("anna", "bert", "carl")
SETTINGS = (
    *(
        "name=far",
        "cluster.nodes=1",
        "cluster.slots_per_node=2",
        "workload.jobs=6",
        "workload.duration_s=20",
    ),
    *(
        "search.trials=5",
        "search.batch=5",
        "testbed.parallel=3",
        "search.retries=3",
        "testbed.heartbeat_timeout_s=20",
    ),
    "scheduler.params.bf_interval=[1,30]",
    # Three emulated clusters on two cores.
    *(
        "validity.max_native_gap_s=30",
        "validity.max_submit_lag_s=60",
        "validity.max_clock_error_s=2",
    ),
)


@pytest.fixture(scope="module")
def places(tmp_path_factory, image_store, bundle):
    folder = tmp_path_factory.mktemp("far")
    made = {name: Workplace(folder / name, image_store) for name in HOSTS}
    yield made
    for place in made.values():
        place.clear()


@pytest.fixture(scope="module")
def network(image_store, places):
    if os.geteuid() != 0:
        pytest.skip("cannot run here: network namespaces are root's to make; run it as root")
    with network_of(HOSTS, hidden=[image_store]) as made:
        yield made


def settings_of(network, places, reach="ray"):
    rooms = [
        f"{name}: {{reach: {reach}, uri: private, state_dir: {place.state_dir}, memory_mib: 1600}}"
        for name, place in places.items()
    ]
    return [f"hosts={{{', '.join(rooms)}}}", f"testbed.ray_address={network.ray_address}"]


@pytest.fixture
def search(network, tmp_path, image_store):
    """Starts the campaign on the driver's machine, on some of the places."""

    def started(places, *overrides):
        output = [*outputs(tmp_path), f"output.mlruns={tmp_path}/mlruns", "output.log=plain"]
        settings = [
            *SETTINGS,
            *settings_of(network, places),
            *output,
            f"image.store={image_store}",
            *overrides,
        ]
        command = network.inside(DRIVER, sys.executable, "-m", "campaign.search", *settings)
        return Driver(command, network.environment)

    return started


def outputs(tmp_path):
    return [f"output.results={tmp_path}/results"]


def campaign(network, host, *arguments, check=True):
    """`python -m campaign` on a host, and what it says."""
    return network.run(host, sys.executable, "-m", "campaign", *arguments, check=check)


def trials(said, phase):
    """The trials of which it was said."""
    return {found[1] for line in said if (found := re.search(rf"trial (\d) {phase}", line))}


SIMULATED = (
    *("name=simulated", "testbed=simulation", "output.log=plain", "search.trials=6"),
    *("search.batch=3", "workload=lublin", "workload.jobs=500", "workload.load=1.0"),
    *("cluster.nodes=64", "cluster.slots_per_node=4"),
)


def test_simulated_trials_run_on_every_host_with_the_same_results(network, tmp_path):
    """In the same order and to the same values as on this machine alone."""
    found = {}
    for where in ([f"testbed.ray_address={network.ray_address}"], ["testbed.parallel=1"]):
        folder = tmp_path / str(len(found))
        output = [*outputs(folder), f"output.mlruns={folder}/mlruns"]
        command = [sys.executable, "-m", "campaign.search", *SIMULATED, *output, *where]
        told = network.run(DRIVER, *command, check=True)
        ledger = history_of(folder / "results/simulated/ledger.jsonl")
        found[where[0]] = [(one.point, one.outcome, one.metrics) for one in ledger.final()]
        assert ("on 3 CPUs of the Ray" in told.stdout + told.stderr) == (len(found) == 1)
    there, here = found.values()
    assert there == here and {outcome for _, outcome, _ in here} == {"ok"}


def test_one_host_is_cut_off_and_another_loses_its_libvirtd(network, places, search, tmp_path):
    # The first trial makes the golden cluster on one host; then the others are added, and get
    # theirs from there.
    ours = ["name=far", *outputs(tmp_path), *settings_of(network, places)]
    driver = search({"anna": places["anna"]})
    driver.until(lambda said: trials(said, "replaying"), seconds=600)
    for name in ("bert", "carl"):
        campaign(network, DRIVER, "host", "serve", name, *ours)

    def everywhere(said):
        """Whether each host is in the midst of a trial, and two are replaying."""
        return all(
            len(trials(said, word) - trials(said, "ok")) >= least
            for word, least in (("starts", 3), ("replaying", 2))
        )

    driver.until(everywhere, seconds=600)
    victim = PrivateLibvirtd(places["carl"].state_dir).pid()
    assert victim, driver.said
    os.kill(victim, signal.SIGKILL)
    network.cut("bert")
    cut_at = time.time()
    told = driver.finish(seconds=900)
    history = history_of(tmp_path / "results/far/ledger.jsonl")
    records = history.final()
    assert [record.outcome for record in records] == ["ok"] * 5, told
    assert {record.host for record in records if record.ended > cut_at} == {"anna", "carl"}
    assert any(
        record.host == "bert" for of_trial in history.records.values() for record in of_trial
    )
    assert "host bert is added" in told and "host bert is unreachable" in told
    goldens = {
        record.provenance.golden_key for record in records if record.provenance.start == "golden"
    }
    assert len(goldens) == 1 and trials(driver.said, "making the golden cluster") == {"0"}, told

    # Logs have come home from all hosts, also from the one that was cut off later.
    for name in HOSTS:
        logs = list((tmp_path / "results/far/logs").glob(f"host-{name}-*.jsonl"))
        assert logs and all(path.stat().st_size for path in logs), name

    listed = campaign(network, DRIVER, "host", "list", *ours).stdout
    assert re.search(rf"anna +Ray node {network.address('anna')} +serves", listed), listed
    assert re.search(r"bert +no living Ray node +away", listed), listed

    cleaned = campaign(network, DRIVER, "clean", *settings_of(network, places), check=False)
    assert cleaned.stdout.count("removed 0 domains and 0 run folders, kept 0 live") == 2, cleaned
    assert "bert: no living Ray node" in cleaned.stdout and cleaned.returncode == 1
    # Of its own accord, bert has ended by now what it had, or is about to.
    until = time.monotonic() + 90
    while processes_naming(str(places["bert"].state_dir)) and time.monotonic() < until:
        time.sleep(1)
    there = campaign(
        network, "bert", "clean", *settings_of(network, {"bert": places["bert"]}, "local")
    )
    assert "removed 0 domains and 0 run folders, kept 0 live" in there.stdout, there
    assert [place.leftovers() for place in places.values()] == [[], [], []]


def test_a_cluster_that_spans_two_hosts_runs_jobs_across_both(network, places, search, tmp_path):
    two = {name: places[name] for name in ("anna", "carl")}
    spanning = (
        "name=span",
        "cluster.hosts=2",
        "cluster.nodes=2",
        "search.trials=1",
        "search.batch=1",
    )
    said = search(two, *spanning, "testbed.parallel=1").finish(seconds=600)
    results = Results(tmp_path / "results", "span")
    (record,) = history_of(results.ledger_path).final()
    assert record.outcome == "ok" and record.host in {"anna+carl", "carl+anna"}, said
    first, second = record.host.split("+")
    assert record.provenance.node_hosts == f"head={first} n1={second} n2={first}"
    ran = results.trial_jobs(0).to_pylist()
    across = [job for job in ran if sorted(job["nodes"]) == ["n1", "n2"]]
    assert across and all(job["exit_code"] == 0 for job in ran)
    for name in two:
        links = network.run(name, "ip", "-brief", "link", check=True).stdout
        assert "cbr-" not in links and "cvx-" not in links, links
    assert [place.leftovers() for place in two.values()] == [[], []]
