"""A campaign over several hosts, of which one loses its libvirtd in the midst of a trial: nothing is lost or left.

The hosts are libvirtds of their own on this machine, each with its folder, ports and guests.
"""

import os
import re
import signal
import subprocess
import sys

import pytest

from actors.hypervisor.daemon import PrivateLibvirtd
from campaign.ledger import history_of
from tests.system.conftest import ROOT, Workplace

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

HOSTS = ("east", "west")
SETTINGS = (
    *("name=hosts", "cluster.nodes=1", "cluster.slots_per_node=2", "workload.jobs=6", "workload.duration_s=6"),
    *("search.trials=4", "search.batch=4", "testbed.parallel=2", "scheduler.params.bf_interval=[1,30]"),
    *("validity.max_native_gap_s=20", "validity.max_submit_lag_s=30"),  # two emulated clusters on two cores
)


@pytest.fixture
def places(tmp_path, image_store, bundle):
    """A workplace for each host: what is asked and cleaned of one is asked and cleaned of that host."""
    made = {name: Workplace(tmp_path / name, image_store) for name in HOSTS}
    yield made
    for place in made.values():
        place.clear()


def hosts_of(places):
    """The hosts as a setting; each has ports of its own, by which clusters of one machine are told apart."""
    rooms = [
        f"{name}: {{uri: private, state_dir: {place.state_dir}, ports: [{low}, {low + 99}], memory_mib: 1600}}"
        for low, (name, place) in zip((22200, 22300), places.items(), strict=True)
    ]
    return f"hosts={{{', '.join(rooms)}}}"


def test_a_host_loses_its_libvirtd_and_the_campaign_doesnt_notice(places, tmp_path, image_store):
    output = [f"output.results={tmp_path}/results", f"output.mlruns={tmp_path}/mlruns", "output.log=plain"]
    settings = [*SETTINGS, hosts_of(places), *output, f"image.store={image_store}"]
    command = [sys.executable, "-m", "campaign.search", *settings]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = []
    for line in driver.stderr:
        said.append(line)
        if re.search(r"trial \d replaying", line):
            break
    victim = PrivateLibvirtd(places["west"].state_dir).pid()
    assert victim, "".join(said)
    os.kill(victim, signal.SIGKILL)
    said += list(driver.stderr)
    assert driver.wait() == 0, "".join(said)
    records = history_of(tmp_path / "results/hosts/ledger.jsonl").final()
    assert [record.outcome for record in records] == ["ok"] * 4, "".join(said)
    assert {record.host for record in records} == set(HOSTS)
    clean = [sys.executable, "-m", "campaign", "clean", hosts_of(places)]
    cleaned = subprocess.run(clean, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert cleaned.count("removed 0 domains and 0 run folders, kept 0 live") == len(HOSTS), cleaned
    assert [place.leftovers() for place in places.values()] == [[], []]
