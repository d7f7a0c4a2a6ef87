"""The Nix builder, against a Nix on PATH that behaves as one, well or ill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from campaign.core.errors import ImageError
from campaign.images import builders, nix
from campaign.images.bundles import manifest
from campaign.images.bundles.manifest import PARTS, FileFact, ImageManifest, content_hash
from campaign.images.bundles.store import Store

ROOT = Path(__file__).parents[4]
FAKE = ROOT / "tests/fakes/nix"


def bundle_in(folder: Path, name: str = "slurm") -> None:
    """What the flake's image derivation leaves."""
    folder.mkdir(parents=True)
    for part in PARTS:
        (folder / part).write_bytes(b"nix " + part.encode())
    files = {part: FileFact.of(folder / part) for part in PARTS}
    manifest.write(
        folder,
        ImageManifest(
            name=name,
            builder="nix",
            hash=content_hash(files, "quiet"),
            kernel_cmdline="quiet",
            kernel_version="6.18",
            files=files,
            packages={"slurm": "26.05"},
            facts={"unit.munge": "munged.service"},
        ),
    )


@pytest.fixture
def flake(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{FAKE}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_NIX_STORE", str(tmp_path / "nix-store"))
    bundle_in(tmp_path / "flake/bundles/slurm")
    bundle_in(tmp_path / "flake/bundles/volcano", "kubernetes")
    bundle_in(tmp_path / "flake/bundles/mistaken", "slurm")
    return tmp_path / "flake"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "images")


def build(flake, store, name="slurm", **options):
    return nix.build(name, store=store, flake=str(flake), **options)


def nothing_left(store):
    return store.bundles() == [] and list(store.path.glob(".making-*")) == []


def test_a_bundle_gets_into_the_store_with_its_recipe(flake, store, caplog):
    caplog.set_level("INFO")
    made = build(flake, store)
    assert store.get("slurm") == made and made.manifest.builder == "nix"
    tags = made.manifest.recipe.tags
    assert tags["image_recipe"].endswith("-image-slurm") and tags["image_derivation"].endswith(
        "-image-slurm.drv"
    )
    assert (tags["image_flake_rev"], tags["nixpkgs_rev"]) == ("f" * 40, "e" * 40)
    assert "building '/nix/store/x-image-slurm.drv'..." in caplog.messages
    store.verify(made, deep=True)
    assert build(flake, store) == made
    store.remove(made)  # what came from a read-only store is the store's own


def test_both_names_of_the_kubernetes_image_are_one_image(flake, store):
    assert build(flake, store, "volcano").manifest.name == "kubernetes"


@pytest.mark.parametrize(
    ("ails", "expected"),
    [
        ("fail", ["nix build failed", "hash mismatch", "nix/packages/pending-hashes.nix"]),
        ("junk", ["nix build of image-slurm: the answer is not JSON", "not JSON"]),
        ("odd", ["nix build of image-slurm: the answer isn't what was expected", "[]"]),
        ("killed", ["nix build was ended by signal 9", "building"]),
    ],
)
def test_an_ill_nix_is_one_error_and_leaves_nothing(flake, store, ails, expected):
    (flake / "ails").write_text(ails)
    with pytest.raises(ImageError) as failure:
        build(flake, store)
    assert [part for part in expected if part not in str(failure.value)] == []
    assert nothing_left(store)


def test_an_image_that_the_flake_lacks_is_named(flake, store):
    with pytest.raises(ImageError, match="image-slrum"):
        build(flake, store, "slrum")
    for name in ("--help", "a#b", "x;y", ""):
        with pytest.raises(ImageError, match="there is no image"):
            build(flake, store, name)


def test_a_bundle_that_is_none_is_refused(flake, store):
    (flake / "bundles/slurm/initrd").write_text("changed after it was hashed")
    with pytest.raises(ImageError, match="initrd is damaged"):
        build(flake, store)
    (flake / "bundles/slurm/manifest.json").write_text("{}")
    with pytest.raises(ImageError, match="is not a valid image manifest"):
        build(flake, store)
    with pytest.raises(ImageError, match="image-mistaken is an image 'slurm'"):
        build(flake, store, "mistaken")
    assert nothing_left(store)


def test_without_nix_the_debian_builder_is_named(store, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match="nix is missing") as failure:
        nix.build("slurm", store=store)
    assert "--builder=debian" in failure.value.resolution


def test_auto_is_nix_where_nix_is(flake, monkeypatch, tmp_path):
    assert builders.chosen("auto") == "nix"
    monkeypatch.setattr(nix, "FLAKE", tmp_path)
    assert builders.chosen("auto") == "debian"
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [builders.chosen(one) for one in ("auto", "nix", "debian")] == [
        "debian",
        "nix",
        "debian",
    ]


def test_nix_ends_with_whoever_asked_it(flake, store):
    """Told to end in the midst of a build, the command tells Nix so, and nothing half-made
    stays."""
    (flake / "ails").write_text("hang")
    command = [
        "image",
        "--store",
        str(store.path),
        "build",
        "slurm",
        "--builder=nix",
        f"--flake={flake}",
    ]
    asking = subprocess.Popen(
        [sys.executable, "-u", "-m", "campaign", *command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "building" in asking.stderr.readline()
    (child,) = Path(f"/proc/{asking.pid}/task/{asking.pid}/children").read_text().split()
    asking.send_signal(signal.SIGTERM)
    assert asking.wait(30) == 143
    asking.stderr.close()
    assert not Path(f"/proc/{child}").exists()
    assert nothing_left(store)
