"""Facts behind a trial's results: image, host, plan, and what its scheduler runs with."""

import re
from collections.abc import Mapping
from dataclasses import replace

from actors.clusters.cluster_spec import ClusterSpec
from actors.hosts.slot import HostFacts
from campaign.core.errors import SchedulerError
from campaign.core.provenance import Provenance
from campaign.schema.settings import Scalar
from schedulers.base import BootstrapPlan, Params


def used_mib(meminfo: str) -> int | None:
    """Return the MiB of memory that a node's programs occupy, by its /proc/meminfo.

    None if the text doesn't have what is needed.
    """
    kib = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", meminfo, re.MULTILINE))
    return (int(kib["MemTotal"]) - int(kib["MemAvailable"])) >> 10 if len(kib) == 2 else None


def check_effective(params: Params, running: Mapping[str, Scalar]) -> None:
    """Raise SchedulerError unless the scheduler runs with every parameter that it was given.

    `running` are those that it reports; it need not report every one.
    """
    wanted = params.model_dump()
    shared = sorted(wanted.keys() & running.keys())
    wrong = [
        f"{n}: asked {wanted[n]!r}, runs {running[n]!r}" for n in shared if wanted[n] != running[n]
    ]
    if wrong:
        raise SchedulerError(
            "the scheduler doesn't run with the parameters that it was given", "\n".join(wrong)
        )


def plan_files(plan: BootstrapPlan) -> dict[str, bytes]:
    """Return a plan as a trial keeps it, without its secrets: as text, and its files by node."""
    files = {
        f"config/{node}{file.path}": file.content for node, file in plan.files() if not file.secret
    }
    return files | {"plan.txt": plan.describe().encode()}


def with_image(provenance: Provenance, cluster_spec: ClusterSpec) -> Provenance:
    """Return the provenance with the image and the scheduler of a cluster."""
    scheduler = cluster_spec.scheduler
    manifest = cluster_spec.bundle.manifest
    recipe = manifest.recipe
    return replace(
        provenance,
        scheduler=scheduler.name,
        stand_ins=(scheduler.stand_ins or "none") if cluster_spec.settings.dense else "",
        image_hash=cluster_spec.bundle.hash,
        image_name=manifest.name,
        image_recipe=recipe.id if recipe else "",
        image_derivation=recipe.derivation if recipe else "",
        image_flake_rev=recipe.flake_rev if recipe else "",
        nixpkgs_rev=recipe.nixpkgs_rev if recipe else "",
        guest_kernel=manifest.kernel_version,
    )


def with_host(provenance: Provenance, facts: HostFacts) -> Provenance:
    """Return the provenance with a host, as it was found when it was opened."""
    return replace(
        provenance,
        host=facts.name,
        host_name=facts.versions.host,
        kernel=facts.versions.kernel,
        acceleration=facts.acceleration.kind,
        acceleration_reason=facts.acceleration.reason,
        libvirt=facts.versions.libvirt,
        qemu=facts.versions.qemu,
        host_hash_mib_s=round(facts.calibration.hash_mib_s),
        host_copy_mib_s=round(facts.calibration.copy_mib_s),
        host_timer_us=round(facts.calibration.timer_us),
    )
