"""What must hold before anything starts: which image is taken, whether clusters fit, whether the
workload does."""

from dataclasses import replace

import pytest

from actors.hypervisor.host_hardware import HostHardware
from campaign.config.compose import compose
from campaign.core.errors import (
    CampaignError,
    CapacityError,
    ConfigError,
    ImageError,
    WorkloadError,
)
from campaign.records.ledger import Ledger
from campaign.testbeds import hardware_check, machine_check
from campaign.testbeds.libvirt import LibvirtBackend
from campaign.testbeds.preflight import (
    BURNER,
    bundles_for,
    check_capacity,
    check_payload,
    fits,
    workload_for,
)
from tests.fakes.sysfs import FakeSysfs

# A fixture and its helpers.
from tests.unit.campaign.images.test_store import add, age, store  # noqa: F401


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.jsonl") as opened:
        yield opened


def backend(composed):
    return LibvirtBackend(composed.campaign, composed.schedulers, composed.space)


@pytest.fixture
def taken(store, ledger):  # noqa: F811
    """Which image a campaign takes, with these overrides."""

    def bundle(*overrides):
        composed = compose([f"image.store={store.path}", *overrides])
        names = {"slurm": composed.image_name(composed.scheduler)}
        return bundles_for(composed.campaign.image, names, ledger.history.images)["slurm"]

    return bundle


def test_the_newest_image_of_the_name_is_taken(store, taken):  # noqa: F811
    age(add(store, content=b"old"), 100)
    new = add(store, content=b"new")
    assert taken() == new


def test_a_hash_names_one_image(store, taken):  # noqa: F811
    old = add(store, content=b"old")
    age(old, 100)
    add(store, content=b"new")
    assert taken(f"image.hash={old.hash[:12]}") == old


def test_a_campaign_goes_on_with_the_image_that_it_began_with(store, taken, ledger):  # noqa: F811
    old = add(store, content=b"old")
    age(old, 100)
    ledger.append("campaign", id="d3", config={}, images={"slurm": old.hash})
    new = add(store, content=b"new")
    assert taken() == taken(f"image.hash={new.hash}") == old
    store.remove(old)
    with pytest.raises(ImageError, match="began with is gone") as caught:
        taken()
    assert old.hash in caught.value.brief and "name=" in caught.value.resolution


def test_an_image_that_may_not_be_built_is_missing(store, taken):  # noqa: F811
    store.path.mkdir()
    with pytest.raises(ImageError):
        taken("image.build=never")


def test_a_damaged_image_is_not_booted(store, taken):  # noqa: F811
    bundle = add(store)
    bundle.kernel.write_bytes(b"KERNELKERNEL")
    with pytest.raises(ImageError, match="kernel"):
        taken()


def test_an_image_is_built_where_there_is_none(store, taken, monkeypatch):  # noqa: F811
    from campaign.images.debian import builder

    built = []
    monkeypatch.setattr(
        builder,
        "build",
        lambda name, **options: built.append((name, options["locked"])) or add(store),
    )
    assert taken().manifest.name == "slurm"
    assert built == [("slurm", True)], "versions are those of the lock, unless a user wants others"


def test_an_image_of_other_versions_is_built_where_the_user_wants_that(store, taken, monkeypatch):  # noqa: F811
    from campaign.images.debian import builder

    built = []
    monkeypatch.setattr(
        builder, "build", lambda name, **options: built.append(options["locked"]) or add(store)
    )
    assert taken("image.locked=false").manifest.name == "slurm" and built == [False]


def test_what_an_image_lacks_is_said_before_another_is_built(store, ledger, monkeypatch, tmp_path):  # noqa: F811
    from campaign.images.debian import builder

    built = []
    monkeypatch.setattr(builder, "build", lambda name, **_: built.append(name))
    overrides = [
        "scheduler=slurm-flux",
        f"image.store={store.path}",
        f"image.extras={tmp_path}/none",
    ]
    with pytest.raises(ImageError, match=r"image flux needs 1 file that") as caught:
        backend(compose(overrides)).prepare(ledger.history.images)
    assert built == [] and "flux.tar.zst: it is missing" in caught.value.details


def test_burning_needs_an_image_that_can(store):  # noqa: F811
    plain = add(store)
    packages = {"packages": {BURNER: "0.18"}}
    able = replace(plain, manifest=plain.manifest.model_copy(update=packages))
    check_payload("sleep", plain)
    check_payload("burn", able)
    with pytest.raises(
        ConfigError, match=r"workload\.payload: burn needs the package stress-ng"
    ) as caught:
        check_payload("burn", plain)
    assert (
        "image slurm " in caught.value.brief and "image.name=slurm-burn" in caught.value.resolution
    )


def test_an_image_that_cannot_burn_is_refused_before_anything_starts(store, ledger):  # noqa: F811
    add(store)
    composed = compose([f"image.store={store.path}", "workload.payload=burn"])
    with pytest.raises(ConfigError, match="stress-ng"):
        backend(composed).prepare(ledger.history.images)


def sized(*overrides):
    """A campaign on a host of known size, and the nodes of its smallest and largest clusters."""
    composed = compose(["hosts.local.memory_mib=4000", "hosts.local.vcpus=5", *overrides])
    return composed.campaign, composed.space.node_counts()


def check_capacity_of(*overrides):
    campaign, (_, largest) = sized(*overrides)
    check_capacity(campaign, largest)


def jobs_of(*overrides):
    composed = compose(list(overrides))
    return workload_for(composed.campaign, composed.schedulers, composed.space)


def test_the_largest_cluster_must_fit_with_its_head():
    check_capacity_of()
    with pytest.raises(CapacityError, match="cluster of 6 VMs") as caught:
        check_capacity_of("cluster.nodes=[1,5]")
    assert "local: " in caught.value.details and "vCPUs" in caught.value.details
    assert "cluster.nodes" in caught.value.resolution


def test_one_host_that_fits_is_enough():
    check_capacity_of("cluster.nodes=5", "hosts.big.memory_mib=64000", "hosts.big.vcpus=64")


def test_ports_count_too():
    with pytest.raises(CapacityError) as caught:
        check_capacity_of("hosts.local.ports=[30000,30003]")
    assert "5 TCP ports are needed" in caught.value.details


def test_emulation_needs_more_than_kvm():
    needs = {}
    for kind in ("kvm", "auto"):
        campaign, (_, largest) = sized(f"hosts.local.acceleration={kind}")
        needs[kind] = next(fits(campaign, largest)).needed.memory_mib
    assert needs["auto"] > needs["kvm"] > 5 * 512


def test_jobs_are_cut_to_the_smallest_cluster():
    widest = max(job.width for job in jobs_of("cluster.nodes=[1,4]").jobs())
    assert widest <= 4
    assert jobs_of().hash == jobs_of().hash


def test_no_job_asks_for_more_time_than_its_partition_gives():
    given = ("testbed=virtual-time", "workload=poisson", "workload.runtime_s=[30,200]")
    jobs = jobs_of(*given, "cluster.partitions={short: {max_time_s: 120}}")
    assert max(job.requested_s for job in jobs.jobs()) <= 120
    assert 0 < len(jobs) < len(jobs_of(*given))
    assert any(said.startswith("jobs that run longer than any job") for said in jobs.sentences)


def test_a_workload_that_cannot_be_read_stops_everything(tmp_path):
    with pytest.raises(WorkloadError, match=r"none\.swf"):
        jobs_of("workload=swf", f"workload.path={tmp_path}/none.swf")


GPUS = "hosts.local.devices={a: {address: '0000:65:00.0', kind: gpu}}"


def test_devices_count_too_and_the_head_wants_none():
    check_capacity_of(GPUS, "cluster.devices.gpu=1", "cluster.nodes=1")
    with pytest.raises(CapacityError) as caught:
        check_capacity_of(GPUS, "cluster.devices.gpu=1", "cluster.nodes=2")
    assert "2 GPUs are needed, 1 are free" in caught.value.details


def test_what_a_host_lacks_of_devices_and_networks_is_told_before_anything_starts(
    monkeypatch, tmp_path
):
    sysfs = FakeSysfs(tmp_path)
    sysfs.function("0000:65:00.0")
    hardware = HostHardware(sysfs.root, privileged=True, links=sysfs.links)
    monkeypatch.setattr(hardware_check, "HostHardware", lambda: hardware)
    campaign, _ = sized(GPUS)
    hardware_check.check_hardware(campaign, 1)  # no node asks for it
    campaign, _ = sized(GPUS, "cluster.devices.gpu=1", "cluster.networks.fabric.bridge=br0")
    told = [str(one) for one in hardware_check.hardware_errors(campaign, 1)]
    assert ["IOMMU" in one for one in told] == [True, False]
    assert "no driver vfio-pci" in told[0]
    assert "cluster.networks on the host local: fabric: the bridge br0 doesn't exist" in told[1]
    with pytest.raises(CampaignError, match=r"hosts\.local\.devices: 2 things are missing"):
        hardware_check.check_hardware(campaign, 1)
    sysfs.link("br0", "bridge")
    sysfs.driver("vfio-pci")
    sysfs.unplug("0000:65:00.0")
    sysfs.function("0000:65:00.0", group=1)
    hardware_check.check_hardware(campaign, 1)


def test_the_doctor_looks_at_what_nodes_ask_for(monkeypatch, tmp_path):
    sysfs = FakeSysfs(tmp_path)
    hardware = HostHardware(sysfs.root, privileged=True, links=sysfs.links)
    monkeypatch.setattr(hardware_check, "HostHardware", lambda: hardware)
    composed = compose(["cluster.networks.fabric.bridge=br0"])
    (missing,) = machine_check._hardware(composed)
    assert missing.state == "missing" and "the bridge br0 doesn't exist" in missing.found
    sysfs.link("br0", "bridge")
    (there,) = machine_check._hardware(composed)
    assert there.state == "ok" and list(machine_check._hardware(compose([]))) == []
