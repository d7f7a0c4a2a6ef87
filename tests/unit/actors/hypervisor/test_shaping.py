"""The latency of a card: set where it belongs, beside libvirt's rate, or the node doesn't start."""

import dataclasses
import os

import pytest

from actors.hypervisor import shaping
from actors.hypervisor.errors import NetworkUnusable
from actors.hypervisor.starting import start_attached
from tests.fakes.traffic_control import FakeTrafficControl
from tests.unit.actors.hypervisor.test_attached import BRIDGE
from tests.unit.actors.hypervisor.test_domain import changed

LATE = dataclasses.replace(BRIDGE, latency_ms=2.5)
TAP = LATE.tap("c1-n0")


def test_a_card_with_a_latency_delays_what_leaves_its_tap():
    kernel = FakeTrafficControl(TAP)
    shaping.delay(LATE, "c1-n0", kernel)
    ((where, (kind, options)),) = kernel.queues.items()
    assert where == (TAP, "root") and kind == "netem"
    assert options[:2] == ("delay", "2500us")


def test_a_rate_stays_when_a_latency_comes():
    kernel = FakeTrafficControl(TAP)
    kernel.shape(TAP)
    shaping.delay(dataclasses.replace(LATE, rate_mbit=100), "c1-n0", kernel)
    assert kernel.queues[TAP, "root"][0] == "htb" and kernel.queues[TAP, "1:1"][0] == "netem"


def test_a_card_without_latency_is_left_alone():
    shaping.delay(BRIDGE, "c1-n0", FakeTrafficControl())


class Libvirt:
    """Domains by name, as `Hypervisor` starts and ends them."""

    def __init__(self):
        self.running = set()

    def start(self, spec):
        self.running.add(spec.name)

    def destroy(self, name):
        self.running.discard(name)


@pytest.mark.parametrize(
    "kernel", [FakeTrafficControl(), FakeTrafficControl(TAP, kinds=("htb",))], ids=["link", "kind"]
)
def test_a_node_whose_latency_cannot_be_set_does_not_run(kernel, monkeypatch):
    libvirt = Libvirt()
    monkeypatch.setattr(shaping.delay, "__defaults__", (kernel,))
    with pytest.raises(NetworkUnusable, match="latency_ms"):
        start_attached(libvirt, changed(cards=(LATE,)))
    assert libvirt.running == set()


def test_a_node_whose_latency_is_set_runs(monkeypatch):
    libvirt = Libvirt()
    kernel = FakeTrafficControl(TAP)
    monkeypatch.setattr(shaping.delay, "__defaults__", (kernel,))
    start_attached(libvirt, changed(cards=(LATE,)))
    assert libvirt.running == {"c1-n0"} and kernel.queues


def test_what_a_kernel_refuses_is_told_in_its_own_words():
    said = shaping.refused(
        rate=True, latency=True, run=lambda script: "unknown kind" if "netem" in script else ""
    )
    assert said == {"latency": "unknown kind"}
    assert shaping.refused(rate=False, latency=False, run=lambda script: "no") == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot run here: namespaces need root")
def test_a_script_that_fails_in_a_namespace_says_why():
    assert "no-such-program" in shaping._in_a_namespace("no-such-program")
    assert shaping._in_a_namespace("ip link show lo") == ""
