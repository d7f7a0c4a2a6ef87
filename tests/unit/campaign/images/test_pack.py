"""Packing a bundle of store paths, as the flake's images do it: what is in it, and that it is the
same each time."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from campaign.images.bundles import manifest, tools
from campaign.images.packing import kernel, pack
from tests.unit.campaign.images.test_debian import bzimage

ROOT = Path(__file__).parents[4]
PVH = b"\x7fELF ... \x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0 ..."

pytestmark = pytest.mark.skipif(
    not shutil.which("mkfs.erofs", path=tools.search_path()), reason="no mkfs.erofs"
)


@pytest.fixture
def tree():
    """A store path, outside the folders that a root file system is packed without, as /tmp is."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        (Path(folder) / "init").write_text("#!/bin/sh\n")
        (Path(folder) / "share").mkdir()
        yield Path(folder)


@pytest.fixture
def description(tmp_path, tree):
    drivers = tmp_path / "drivers/kernel"
    drivers.mkdir(parents=True)
    for name in ("erofs", "nd_pmem"):
        (drivers / f"{name}.ko").write_bytes(b"\x7fELF\0depends=\0")
    (tmp_path / "kernel").write_bytes(bzimage(gzip.compress(PVH)))
    (tmp_path / "busybox").write_bytes(b"busybox")
    (tmp_path / "closure").write_text(f"{tree}\n")
    wanted = {
        "name": "slurm",
        "system": "x86_64-linux",
        "kernel_cmdline": "console=ttyS0 quiet",
        "kernel_version": "6.18.1",
        "kernel": str(tmp_path / "kernel"),
        "drivers": str(tmp_path / "drivers"),
        "modules": ["erofs"],
        "memory_modules": ["nd_pmem"],
        "busybox": str(tmp_path / "busybox"),
        "closure": str(tmp_path / "closure"),
        "links": {"sbin/init": f"{tree}/init", "usr/bin": "/nowhere/bin"},
        "facts": {"unit.munge": "munged.service"},
    }
    (tmp_path / "description.json").write_text(json.dumps(wanted))
    return tmp_path / "description.json"


def recipe_files():
    """The files of the project that the flake's recipes hold: those that nix/images.nix lists."""
    listed = (ROOT / "nix/images.nix").read_text()
    for folder in re.findall(r'fileFilter \(file: file\.hasExt "py"\) \.\./(\S+)\)', listed):
        yield from (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))
    yield from map(Path, re.findall(r"^ +\.\./(\S+)$", listed, re.MULTILINE))


def packed(description, target):
    """Pack in a process that has nothing but the recipe's files and the tools, as a sandbox has."""
    for file in recipe_files():
        copy = target.parent / "recipe" / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, copy)
    return subprocess.run(
        [sys.executable, "-P", "-m", "campaign.images.packing.pack", description, target],
        env={
            "PYTHONPATH": str(target.parent / "recipe"),
            "PATH": tools.search_path(),
            "TMPDIR": os.environ.get("TMPDIR", "/var/tmp"),
        },
        cwd=target.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_bundle_is_packed_and_twice_the_same(description, tmp_path):
    for name in ("one", "two"):
        assert packed(description, tmp_path / name).stderr == ""
    bundle = manifest.read(tmp_path / "one")
    assert bundle.manifest == manifest.read(tmp_path / "two").manifest
    assert sorted(path.name for path in bundle.path.iterdir()) == [
        "initrd",
        "kernel",
        "manifest.json",
        "root.erofs",
    ]
    assert (bundle.manifest.builder, bundle.manifest.facts) == (
        "nix",
        {"unit.munge": "munged.service"},
    )
    assert bundle.kernel.read_bytes() == PVH


def test_the_root_has_the_closure_the_links_and_places_to_mount(description, tree, tmp_path):
    packed(description, tmp_path / "made")
    root = tmp_path / "root"
    tools.run(["fsck.erofs", f"--extract={root}", str(tmp_path / "made/root.erofs")])
    inside = root / tree.relative_to("/")
    assert (inside / "init").read_bytes() == (tree / "init").read_bytes() and (
        inside / "share"
    ).is_dir()
    assert (root / "sbin/init").readlink() == tree / "init"
    assert (root / "usr/bin").readlink() == Path("/nowhere/bin")
    assert all((root / name).is_dir() for name in ("dev", "proc", "run", "sys", "tmp"))
    assert (root / "etc/machine-id").read_bytes() == b""
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    if os.geteuid() == 0:  # else nobody can give files away while unpacking
        assert {path.lstat().st_uid for path in root.rglob("*")} == {0}


def test_a_driver_that_is_missing_is_named(description, tmp_path):
    wanted = json.loads(description.read_text())
    description.write_text(json.dumps(wanted | {"modules": ["virtio_blk"]}))
    done = packed(description, tmp_path / "made")
    assert done.returncode == 1 and done.stderr.startswith(
        "error: the guest's kernel has no module 'virtio_blk'"
    )


def test_packages_are_told_by_store_paths():
    names = [
        "slurm-26.05.1.1",
        "python3-3.13.13",
        "linux-6.18.2-modules",
        "etc",
        "unit-node.target",
    ]
    paths = [Path("/nix/store") / f"{'a' * 32}-{name}" for name in names]
    assert pack.packages(paths) == {
        "linux": "6.18.2-modules",
        "python3": "3.13.13",
        "slurm": "26.05.1.1",
    }


def test_the_kernel_is_unpacked_only_where_qemu_can_start_it():
    assert kernel.bootable(bzimage(gzip.compress(PVH))) == PVH
    plain = bzimage(gzip.compress(b"\x7fELF without the entry"))
    assert kernel.bootable(plain) == plain
    assert kernel.bootable(b"\x7fELF" + bytes(2048)) == b"\x7fELF" + bytes(2048)
