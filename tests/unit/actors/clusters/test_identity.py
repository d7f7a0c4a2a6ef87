"""Who the nodes are: addresses, MAC addresses, keys, and the credentials that tell a guest."""

import base64

import pytest

from actors.clusters.identity import credentials, draw_keys, dump_keys, load_keys, macs, topology_of

TOPOLOGY = topology_of(3, 4, 512)


@pytest.fixture(scope="module")
def keys():
    return draw_keys(TOPOLOGY)


def test_a_cluster_is_a_head_and_its_compute_nodes():
    assert [node.name for node in TOPOLOGY.nodes] == ["head", "n1", "n2", "n3"]
    assert (TOPOLOGY.head.slots, TOPOLOGY.slots) == (0, 12)


def test_every_node_of_the_largest_cluster_has_a_host_address_of_its_own():
    addresses = [node.address for node in topology_of(1024, 1, 256).nodes]
    assert len(set(addresses)) == 1025 and "10.42.0.0" not in addresses
    assert all(0 <= int(part) <= 255 for address in addresses for part in address.split("."))


def test_mac_addresses_are_stable_local_and_all_different():
    drawn = {mac for index in range(1025) for mac in macs(index)}
    assert len(drawn) == 2050
    assert all(int(mac[:2], 16) & 3 == 2 and len(mac) == 17 for mac in drawn)


def test_a_smaller_cluster_is_the_start_of_a_larger_one():
    assert topology_of(2, 4, 512).nodes == TOPOLOGY.nodes[:3]


def test_keys_come_back_from_a_golden_cluster_as_they_were(keys):
    assert load_keys(dump_keys(keys)) == keys


def test_keys_are_drawn_per_cluster_and_never_shown(keys):
    again = draw_keys(TOPOLOGY)
    assert set(keys.hosts) == {"head", "n1", "n2", "n3"}
    drawn = [keys.client, *keys.hosts.values(), again.client, *again.hosts.values()]
    assert len({identity.private for identity in drawn}) == 10
    assert "PRIVATE" not in repr(keys)


def files_in(credential):
    """The files of a tmpfiles.d text: path -> (type, mode, owner, content)."""
    found = {}
    for line in credential.decode().splitlines():
        kind, path, mode, user, _group, _age, argument = line.split(" ")
        found[path] = (kind, mode, user, base64.b64decode(argument))
    return found


def test_a_node_learns_its_name_keys_and_networks(keys):
    node = TOPOLOGY.nodes[2]
    told = credentials(TOPOLOGY, node, keys, ("02:0a:00:00:00:01", "02:0b:00:00:00:01"))
    assert told["system.hostname"] == b"n2"
    assert told["ssh.authorized_keys.root"] == keys.client.public
    files = files_in(told["tmpfiles.extra"])
    assert files["/etc/ssh/ssh_host_ed25519_key"] == (
        "f+~",
        "0600",
        "root",
        keys.hosts["n2"].private,
    )
    assert (
        b"MACAddress=02:0b:00:00:00:01\n[Network]\nAddress=10.42.0.3/16\n"
        in files["/etc/systemd/network/20-cluster.network"][3]
    )
    management = files["/etc/systemd/network/10-management.network"][3]
    assert b"MACAddress=02:0a:00:00:00:01\n" in management and b"Gateway=10.0.2.2\n" in management
    assert files["/etc/hosts"][3].decode().splitlines()[1:] == [
        f"{n.address} {n.name}" for n in TOPOLOGY.nodes
    ]


def test_no_node_learns_the_private_keys_of_others(keys):
    told = b"".join(credentials(TOPOLOGY, TOPOLOGY.nodes[1], keys, macs(1)).values())
    texts = told + b"".join(
        content for *_, content in files_in(told[told.index(b"f+~") :]).values()
    )
    others = [keys.client, *(identity for name, identity in keys.hosts.items() if name != "n1")]
    assert not any(identity.private in texts for identity in others)
