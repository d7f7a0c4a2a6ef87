"""A real node has a card on a bridge of its host's, with the address that its settings give it."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.system.bridged import LATENCY_MS
from tests.system.conftest import ROOT

pytestmark = [pytest.mark.vm, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory, image_store, bundle):
    """What `bridged` saw in a network namespace of its own."""
    if os.geteuid() != 0:
        pytest.skip("cannot run here: network namespaces are root's to make; run it as root")
    folder = tmp_path_factory.mktemp("bridged")
    command = [sys.executable, "-m", "tests.system.bridged", folder, image_store]
    done = subprocess.run(
        ["unshare", "--net", *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def least_ms(seen):
    """The shortest round trip of the pings; None if none came back."""
    found = re.search(r"= ([\d.]+)/", seen["pinged"])
    return float(found[1]) if found else None


def test_a_node_is_reached_over_the_bridge_under_its_address(seen):
    assert seen["problems"] == []
    assert "10.90.0.11/24" in seen["inside"]
    assert seen["tap"] in seen["ports"] and least_ms(seen) is not None, seen


def test_its_tap_goes_with_it_and_the_bridge_stays(seen):
    assert (seen["after"], seen["guests"]) == ("", [])


def test_a_latency_delays_what_is_on_its_way_to_the_node(seen):
    if "latency" in seen["unable"]:
        pytest.skip(f"cannot run here: {seen['unable']['latency']}")
    assert "netem" in seen["queues"] and least_ms(seen) >= LATENCY_MS


def test_a_node_whose_card_cannot_be_shaped_does_not_run(seen):
    assert seen["left"] == []
    for what, told in seen["refused"].items():
        assert told is not None and {"rate": "rate", "latency": "netem"}[what] in told
