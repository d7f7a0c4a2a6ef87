"""The guest contract: each way to break it is told, whoever describes the guest."""

from dataclasses import replace

import pytest

from campaign.images.contract import CREDENTIALS, STARTED, TARGET, TOOLS, Guest, violations
from campaign.images.debian import builder
from schedulers.facts import ImageFacts
from schedulers.registry import adapter, names
from schedulers.requirements import requirements_of
from tests.adapters import bound


def required(scheduler, facts):
    """What an adapter requires of an image with these facts."""
    return requirements_of(scheduler.for_image(ImageFacts(scheduler.image, facts)))


def kept(scheduler):
    """A guest that has what is asked for, and nothing else."""
    spec = builder.spec(scheduler.image)
    asked = requirements_of(bound(scheduler.name))
    return Guest(
        kernel_cmdline=" ".join(spec.kernel_cmdline),
        facts=spec.facts,
        target=TARGET,
        starts=STARTED,
        units=asked.units | STARTED,
        users={**dict.fromkeys(asked.users), **spec.users},
        programs=asked.programs | TOOLS,
        credentials=CREDENTIALS,
        files=frozenset(),
    )


@pytest.mark.parametrize("name", names())
def test_a_guest_that_has_what_is_asked_for_breaks_nothing(name):
    scheduler = adapter(name)
    guest = kept(scheduler)
    assert list(violations(scheduler.image, guest, required(scheduler, guest.facts))) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda guest: {"kernel_cmdline": f"debug {guest.kernel_cmdline}"},
            "the kernel command line doesn't begin with",
        ),
        (
            lambda guest: {
                "kernel_cmdline": guest.kernel_cmdline.replace("cgroup_disable=memory", "")
            },
            "the kernel command line lacks cgroup_disable=memory",
        ),
        (
            lambda _: {"target": "multi-user.target"},
            "it boots into multi-user.target, not node.target",
        ),
        (lambda guest: {"starts": guest.starts - {"ssh.service"}}, "ssh.service isn't started"),
        (
            lambda guest: {"starts": guest.starts | {"slurmd.service"}},
            "slurmd.service starts by itself",
        ),
        (
            lambda _: {"credentials": {"tmpfiles.*"}},
            "the credential ssh.authorized_keys.root isn't written down",
        ),
        (
            lambda _: {"files": {"/etc/hostname"}},
            "/etc/hostname is in the image, but it is each node's own",
        ),
        (lambda guest: {"programs": guest.programs - {"sinfo"}}, "no program sinfo"),
        (lambda guest: {"programs": guest.programs - {"python3"}}, "no program python3"),
        (lambda guest: {"units": guest.units - {"munge.service"}}, "no unit munge.service"),
        (lambda guest: {"users": {"root": 0}}, "no user munge"),
        (lambda guest: {"facts": {}}, "no fact munge.key"),
    ],
)
def test_what_breaks_it_is_told(change, expected):
    slurm = adapter("slurm")
    whole = kept(slurm)
    broken = replace(whole, **change(whole))
    found = list(violations("slurm", broken, required(slurm, whole.facts)))
    assert any(line.startswith(expected) for line in found), found


def test_a_user_with_another_id_is_told():
    flux = adapter("flux")
    guest = replace(kept(flux), users={"root": 0, "flux": 1000})
    assert list(violations("flux", guest, required(flux, guest.facts))) == [
        "user flux has the id 1000, not 990"
    ]


def test_requirements_are_found_behind_wrappers_and_in_units():
    slurm, volcano = (requirements_of(bound(name)) for name in ("slurm", "volcano"))
    assert {"timeout", "sinfo", "scontrol", "sbatch"} <= slurm.programs
    assert (
        slurm.units == {"munge.service", "slurmctld.service", "slurmd.service"}
        and "munge" in slurm.users
    )
    assert {"vc-scheduler", "kubelet", "etcd"} <= volcano.programs and not volcano.units
    assert "setpriv" in requirements_of(bound("flux")).programs
    facts = builder.spec("slurm").facts | {"unit.munge": "munged.service"}
    renamed = required(adapter("slurm"), facts)
    assert "munged.service" in renamed.units and "munge.service" not in renamed.units
