"""Devices and further networks as people write them: what is wrong is told by its setting."""

import pytest

from campaign.config.compose import compose
from campaign.core.errors import ConfigError

GPU = "{address: '0000:65:00.0', kind: gpu}"
FABRIC = "cluster.networks.fabric"


@pytest.mark.parametrize(
    ("overrides", "path", "why"),
    [
        (["cluster.devices.gpu=9"], "cluster.devices.gpu", "less than or equal to 8"),
        (["cluster.devices.tpu=1"], "cluster.devices.tpu", "'gpu', 'fpga', 'nic' or 'other'"),
        ([f"{FABRIC}.rate_mbit=10"], FABRIC, "set one"),
        ([f"{FABRIC}={{bridge: br0, network: x}}"], FABRIC, "set one"),
        ([f"{FABRIC}={{bridge: ../br0}}"], f"{FABRIC}.bridge", "pattern"),
        ([f"{FABRIC}={{bridge: br0, model: rtl8139}}"], f"{FABRIC}.model", "virtio"),
        ([f"{FABRIC}={{bridge: br0, rate_mbit: 0}}"], f"{FABRIC}.rate_mbit", "Mbit/s"),
        ([f"{FABRIC}={{bridge: br0, latency_ms: 0}}"], f"{FABRIC}.latency_ms", "ms"),
        (["cluster.networks={A: {bridge: br0}}"], "cluster.networks", "names of networks"),
        (
            [f"cluster.networks={{{', '.join(f'n{i}: {{bridge: br{i}}}' for i in range(9))}}}"],
            "cluster.networks",
            "places for 8 cards",
        ),
        ([f"hosts.local.devices.a={GPU.replace('0000:', '')}"], "hosts.local.devices.a", "pattern"),
        ([f"hosts.local.devices={{A: {GPU}}}"], "hosts.local.devices", "names of devices"),
        ([f"hosts.local.devices={{a: {GPU}, b: {GPU}}}"], "hosts.local.devices", "named twice"),
        (
            [f"hosts={{x: {{devices: {{a: {GPU}}}}}, y: {{devices: {{b: {GPU}}}}}}}"],
            "hosts.y.devices.b",
            "a device of the host x, which is this machine too",
        ),
        (
            ["cluster.groups={big: {nodes: 1, networks: [fabric]}}"],
            "cluster.groups.big.networks",
            "cluster.networks has no fabric",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(overrides, path, why):
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert path in str(caught.value) and why in str(caught.value)


@pytest.mark.parametrize(
    ("address", "more", "why"),
    [
        ("10.90.0.11", [], "a node of a network can have"),
        ("10.90.0.0/24", [], "a node of a network can have"),
        ("fd00::1/64", [], "not an IPv4 address"),
        ("10.42.7.1/24", [], "the cluster's own network"),
        ("10.0.2.9/24", [], "network for SSH"),
        ("10.90.0.13/28", ["cluster.nodes=[1,3]"], "3 compute nodes have no room"),
        ("10.90.0.11/24", ["testbed.parallel=2", "search.batch=2"], "the same addresses"),
    ],
)
def test_addresses_that_nodes_cannot_have_are_refused(address, more, why):
    setting = f"{FABRIC}={{bridge: br0, first_address: '{address}'}}"
    with pytest.raises(ConfigError) as caught:
        compose([setting, *more])
    assert f"{FABRIC}.first_address" in str(caught.value) and why in str(caught.value)


def test_what_can_be_had_is_kept_as_it_was_meant():
    overrides = [
        "cluster.nodes=[1,2]",
        f"{FABRIC}={{bridge: br0, first_address: 10.90.0.13/28, rate_mbit: 10, latency_ms: 0.5}}",
        "cluster.networks.storage.network=default",
        "cluster.devices.gpu=1",
        f"hosts.local.devices.a={GPU}",
        "hosts.local.devices.a.companions=['0000:65:00.1']",
    ]
    campaign = compose(overrides).campaign
    assert [str(campaign.cluster.networks["fabric"].address(place)) for place in (0, 1, 2)] == [
        "10.90.0.13/28",
        "10.90.0.14/28",
        "None",
    ]
    assert campaign.hosts["local"].devices["a"].functions == ("0000:65:00.0", "0000:65:00.1")
    assert campaign.cluster.attached
