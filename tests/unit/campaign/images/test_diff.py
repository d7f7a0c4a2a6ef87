"""What two images differ in: packages, facts, recipe, and the files of their roots."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from campaign.images.bundles import manifest, tools
from campaign.images.bundles.diff import differences
from campaign.images.bundles.manifest import (
    PARTS,
    FileFact,
    ImageManifest,
    ImageRecipe,
    content_hash,
)
from campaign.images.bundles.store import Store
from campaign.images.packing import erofs

pytestmark = pytest.mark.skipif(
    not shutil.which("mkfs.erofs", path=tools.search_path()), reason="no mkfs.erofs"
)


def bundle(store: Store, tree: dict[str, str], **changes):
    """A bundle with these files in its root."""
    with store.making() as folder:
        root = folder / "tree"
        for name, text in tree.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        tools.run([*erofs.command(folder / "root.erofs", 1), str(root)])
        shutil.rmtree(root)
        for part in ("kernel", "initrd"):
            (folder / part).write_text(part)
        files = {part: FileFact.of(folder / part) for part in PARTS}
        cmdline = changes.pop("kernel_cmdline", "console=ttyS0 quiet")
        described = {
            **{
                "name": "slurm",
                "builder": "debian",
                "kernel_version": "6.12",
                "packages": {},
                "facts": {},
            },
            **changes,
        }
        made = ImageManifest(
            hash=content_hash(files, cmdline), kernel_cmdline=cmdline, files=files, **described
        )
        return store.put(manifest.write(folder, made))


@pytest.fixture
def images(tmp_path):
    store = Store(tmp_path / "images")
    one = bundle(
        store,
        {"etc/both": "same", "etc/changed": "a", "etc/old": ""},
        packages={"bash": "5.2", "munge": "0.5", "perl": "5"},
        facts={"unit.munge": "munge.service"},
        recipe=ImageRecipe(id="debian:12"),
    )
    other = bundle(
        store,
        {"etc/both": "same", "etc/changed": "b", "etc/new": ""},
        name="slurm-other",
        builder="nix",
        kernel_cmdline="console=ttyS0 debug",
        packages={"bash": "5.3", "munge": "0.5", "zlib": "1"},
        facts={"unit.munge": "munged.service"},
        recipe=ImageRecipe(id="/nix/store/x-image-slurm"),
    )
    return store, one, other


def test_differences_are_told_line_by_line(images):
    _, one, other = images
    lines = list(differences(one, other))
    for expected in (
        *("  ~ name slurm | slurm-other", "  ~ builder debian | nix", "  - quiet", "  + debug"),
        *(
            "  ~ bash 5.2 | 5.3",
            "  - perl 5",
            "  + zlib 1",
            "  ~ unit.munge munge.service | munged.service",
        ),
        "  ~ image_recipe debian:12 | /nix/store/x-image-slurm",
    ):
        assert expected in lines
    paths = [line.split()[:2] for line in lines[lines.index("files:") + 1 :]]
    assert paths == [["~", "/etc/changed"], ["+", "/etc/new"], ["-", "/etc/old"]]
    assert not any("munge 0.5" in line or "kernel" in line.split()[1:2] for line in lines)


def test_files_may_be_left_out(images):
    _, one, other = images
    assert "files:" not in list(differences(one, other, files=False))


def test_an_image_does_not_differ_from_itself(images):
    store, one, _ = images
    command = [
        sys.executable,
        "-m",
        "campaign",
        "image",
        "--store",
        str(store.path),
        "diff",
        one.hash,
        one.hash[:12],
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[4]
    )
    assert done.stdout.startswith("the same: ") and list(differences(one, one)) == []
