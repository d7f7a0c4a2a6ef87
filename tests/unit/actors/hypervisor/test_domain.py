"""The domain of a node: what libvirt's own schema says of it, what QEMU gets, and which
descriptions are refused."""

import dataclasses
import pickle
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.hypervisor.domain import (
    LEASE_NAMESPACE,
    QEMU_NAMESPACE,
    domain_xml,
    lease_element,
    parse_lease,
)
from actors.hypervisor.errors import InvalidLease, InvalidNodeSpec
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.node_spec import Multicast, NodeSpec
from actors.hypervisor.overlay import Bridge

SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")
LEASE = Lease(
    "front",
    "trial-7",
    1_900_000_000,
    Owner("host@1", "0" * 8 + "-0000-0000-0000-" + "0" * 12, 42, 99),
)
SPEC = NodeSpec(
    cluster="c1",
    node="n0",
    vcpus=2,
    memory_mib=512,
    kernel=Path("/store/kernel"),
    initrd=Path("/store/initrd"),
    cmdline="console=ttyS0 root=/dev/vda ro quiet",
    root=Path("/store/root.erofs"),
    acceleration="tcg",
    tb_cache_mib=128,
    ssh_port=22001,
    network=Multicast("239.1.2.3", 17001),
    management_mac="52:54:00:00:00:01",
    cluster_mac="52:54:00:00:00:02",
    credentials={
        "ssh.authorized_keys.root": Path("/run/c1/key"),
        "system.hostname": Path("/run/c1/name"),
    },
    console_log=Path("/run/c1/console.log"),
    lease=LEASE,
)


def changed(**fields) -> NodeSpec:
    return dataclasses.replace(SPEC, **fields)


def qemu_arguments(xml: str) -> list[str]:
    return [arg.attrib["value"] for arg in ET.fromstring(xml).iter(f"{{{QEMU_NAMESPACE}}}arg")]


needs_schema = pytest.mark.skipif(
    not (SCHEMA.exists() and shutil.which("xmllint")),
    reason="libvirt's schema or xmllint is missing",
)


def assert_fits_schema(xml: str, folder: Path) -> None:
    """Check the domain against libvirt's own schema, by a file in `folder`."""
    file = folder / "domain.xml"
    file.write_text(xml)
    checked = subprocess.run(
        ["xmllint", "--noout", "--relaxng", str(SCHEMA), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


@needs_schema
@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize("acceleration", ["kvm", "tcg"])
@pytest.mark.parametrize("run_as", [None, (0, 0), (1000, 100)])
@pytest.mark.parametrize(
    "network", [SPEC.network, Bridge("cbr-0a1b2c", 1450)], ids=["multicast", "bridge"]
)
def test_fits_libvirts_own_schema(acceleration, machine, run_as, network, tmp_path):
    spec = changed(acceleration=acceleration, machine=machine, network=network)
    assert_fits_schema(domain_xml(spec, run_as=run_as), tmp_path)


def test_under_tcg_the_broken_instruction_is_masked_and_the_cache_bounded():
    domain = ET.fromstring(domain_xml(SPEC))
    assert domain.get("type") == "qemu"
    assert domain.find("cpu").get("mode") == "maximum"
    assert domain.find("cpu/feature[@name='cx16']").get("policy") == "disable"
    assert domain.find("features/tcg/tb-cache").text == "128"


def test_under_kvm_the_hosts_cpu_is_passed_through_unmasked():
    domain = ET.fromstring(domain_xml(changed(acceleration="kvm")))
    assert domain.get("type") == "kvm"
    assert domain.find("cpu").get("mode") == "host-passthrough"
    assert domain.find("cpu/feature") is None
    assert domain.find("features/tcg") is None


def test_all_network_traffic_is_on_the_loopback_interface():
    netdevs = [
        one for one in qemu_arguments(domain_xml(SPEC)) if one.startswith(("user,", "socket,"))
    ]
    assert len(netdevs) == 2
    user = next(one for one in netdevs if one.startswith("user,")).split(",")
    cluster = next(one for one in netdevs if one.startswith("socket,")).split(",")
    assert {"restrict=on", "hostfwd=tcp:127.0.0.1:22001-10.0.2.15:22"} <= set(user)
    assert {"mcast=239.1.2.3:17001", "localaddr=127.0.0.1"} <= set(cluster)
    assert ET.fromstring(domain_xml(SPEC)).find("devices/interface") is None


def test_a_cluster_that_spans_hosts_is_plugged_into_a_bridge_and_reached_at_the_hosts_address():
    xml = domain_xml(changed(network=Bridge("cbr-0a1b2c", 1450), ssh_address="10.77.0.2"))
    netdevs = [one for one in qemu_arguments(xml) if one.startswith(("user,", "socket,"))]
    assert len(netdevs) == 1 and "hostfwd=tcp:10.77.0.2:22001-10.0.2.15:22" in netdevs[0].split(",")
    card = ET.fromstring(xml).find("devices/interface")
    assert (card.get("type"), card.find("source").get("bridge")) == ("bridge", "cbr-0a1b2c")
    assert (card.find("mac").get("address"), card.find("mtu").get("size")) == (
        SPEC.cluster_mac,
        "1450",
    )


def test_the_cards_have_their_addresses_and_a_place_on_the_machines_bus():
    for machine, bus in (("pc", "pci.0"), ("q35", "pcie.0")):
        cards = [
            one
            for one in qemu_arguments(domain_xml(changed(machine=machine)))
            if one.startswith("virtio-net")
        ]
        options = [dict(pair.split("=") for pair in card.split(",")[1:]) for card in cards]
        assert [one["mac"] for one in options] == [SPEC.management_mac, SPEC.cluster_mac]
        assert {one["bus"] for one in options} == {bus}
        assert len({one["addr"] for one in options}) == 2


def test_secrets_are_named_by_file_only():
    entries = {
        entry.get("name"): entry
        for entry in ET.fromstring(domain_xml(SPEC)).iterfind("sysinfo/entry")
    }
    key = entries["opt/io.systemd.credentials/ssh.authorized_keys.root"]
    assert key.get("file") == "/run/c1/key"
    assert key.text is None


def test_the_shared_disk_is_read_only():
    disk = ET.fromstring(domain_xml(SPEC)).find("devices/disk")
    assert disk.find("readonly") is not None
    assert disk.find("shareable") is not None


def test_a_node_that_ends_is_gone():
    domain = ET.fromstring(domain_xml(SPEC))
    assert {domain.findtext(f"on_{event}") for event in ("poweroff", "reboot", "crash")} == {
        "destroy"
    }


def test_qemu_runs_as_who_owns_the_files_and_libvirt_changes_no_owner():
    label = ET.fromstring(domain_xml(SPEC, run_as=(1000, 100))).find("seclabel")
    assert (label.get("relabel"), label.findtext("label")) == ("no", "+1000:+100")
    assert ET.fromstring(domain_xml(SPEC)).find("seclabel") is None


def test_the_lease_comes_back_from_the_domains_metadata():
    element = ET.fromstring(domain_xml(SPEC)).find(f"metadata/{{{LEASE_NAMESPACE}}}lease")
    assert parse_lease(ET.tostring(element, encoding="unicode")) == LEASE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<lease",
        "<lease/>",
        '<lease campaign="a" trial="1" expires="soon" owner="x"/>',
        "<a:lease/>",
    ],
)
def test_what_is_no_lease_is_an_error_that_holds_the_text(text):
    with pytest.raises(InvalidLease) as error:
        parse_lease(text)
    assert error.value.details == text
    assert pickle.loads(pickle.dumps(error.value)).details == text


@pytest.mark.parametrize(
    "fields",
    [
        {"cluster": ""},
        {"cluster": "a/b"},
        {"cluster": "../etc"},
        {"cluster": "x" * 33},
        {"node": "n0\n"},
        {"node": "N0"},
        {"node": "-n"},
        {"node": "n<0>"},
        {"vcpus": 0},
        {"memory_mib": 1},
        {"tb_cache_mib": 0},
        {"ssh_port": 22},
        {"ssh_port": 65536},
        {"kernel": Path("kernel")},
        {"root": Path("/a\nb")},
        {"console_log": Path("log")},
        {"cmdline": "quiet\x00"},
        {"acceleration": "xen"},
        {"machine": "microvm"},
        {"management_mac": "52:54:00:00:00:0G"},
        {"management_mac": "53:54:00:00:00:01"},
        {"cluster_mac": "52:54:00:00:00:01"},
        {"cluster_mac": "52:54:00:00:00:02,romfile=/etc/shadow"},
        {"network": Multicast("10.0.0.1", 17001)},
        {"network": Multicast("239.1.1.1,localaddr=0.0.0.0", 17001)},
        {"network": Multicast("239.1.1.1", 80)},
        {"network": Bridge("a,b")},
        {"network": Bridge("x" * 16)},
        {"network": Bridge("../br0")},
        {"ssh_address": "0.0.0.0,hostfwd=tcp::1-:1"},
        {"ssh_address": "example.org"},
        {"credentials": {"a" * 29: Path("/x")}},
        {"credentials": {"a,b": Path("/x")}},
        {"credentials": {"a": Path("x")}},
    ],
    ids=str,
)
def test_hostile_or_senseless_values_are_refused_by_name(fields):
    with pytest.raises(InvalidNodeSpec) as error:
        changed(**fields)
    (name,) = fields
    assert name.split("_")[0] in error.value.brief or "file" in error.value.brief


@given(name=st.text(max_size=40))
def test_a_name_is_refused_or_becomes_the_domains_name_unchanged(name):
    try:
        spec = changed(node=name)
    except InvalidNodeSpec:
        return
    assert ET.fromstring(domain_xml(spec)).findtext("name") == f"c1-{name}"
    assert spec.name.replace("-", "").isalnum()


@given(cmdline=st.text(max_size=80), file=st.text(min_size=1, max_size=40))
def test_free_text_is_refused_or_comes_back_from_the_xml_unchanged(cmdline, file):
    path = Path("/store") / file
    try:
        spec = changed(cmdline=cmdline, kernel=path)
    except InvalidNodeSpec:
        return
    domain = ET.fromstring(domain_xml(spec))
    assert (domain.findtext("os/cmdline") or "") == cmdline
    assert domain.findtext("os/kernel") == str(path)


def test_a_leases_element_needs_no_escaping_by_the_caller():
    text = ET.tostring(lease_element(LEASE), encoding="unicode")
    assert parse_lease(text) == LEASE
