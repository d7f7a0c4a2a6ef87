"""Files that no mirror has: found, proved, put into the guest; or refused in one error that says
all that is wrong."""

import hashlib
import subprocess

import pytest
from pydantic import ValidationError

from campaign.core.errors import ImageError
from campaign.images.bundles.store import Store
from campaign.images.debian import apt, builder, third_party
from campaign.images.debian.third_party import ThirdPartyFile, provided

TREE = ThirdPartyFile(
    file="tree.tar.zst", what="the programs", source="example.org", unpack="tar", to="/opt"
)
TOOL = ThirdPartyFile(
    file="tool", what="a tool", source="example.net", unpack="file", to="/usr/bin/tool", mode=0o750
)


@pytest.fixture
def folder(tmp_path):
    """Both extras, listed as sha256sum(1) lists them."""
    made = tmp_path / "extras"
    (made / "tree/bin").mkdir(parents=True)
    (made / "tree/bin/program").write_text("#!/bin/sh\n")
    subprocess.run(
        ["tar", "--zstd", "-cf", made / TREE.file, "-C", made / "tree", "bin"], check=True
    )
    (made / TOOL.file).write_bytes(b"\x7fELF")
    listed = subprocess.check_output(["sha256sum", TREE.file, TOOL.file], cwd=made)
    (made / third_party.SUMS).write_bytes(listed)
    return made


def test_extras_get_into_the_guest_by_their_rules(folder, tmp_path):
    guest = tmp_path / "guest"
    (guest / "etc").mkdir(parents=True)
    found = provided("x", [TREE, TOOL], folder)
    for hook in (*third_party.user_hooks({"flux": 990}), *(one.hook for one in found)):
        subprocess.run(["sh", "-euc", hook, "sh", guest], check=True)
    assert (guest / "opt/bin/program").read_text() == "#!/bin/sh\n"
    assert (guest / "usr/bin/tool").stat().st_mode & 0o777 == 0o750
    assert (guest / "etc/passwd").read_text() == "flux:x:990:990::/var/lib/flux:/bin/sh\n"
    assert (guest / "etc/group").read_text() == "flux:x:990:\n"
    assert [one.sha256 for one in found] == [
        hashlib.sha256((folder / one.file).read_bytes()).hexdigest() for one in (TREE, TOOL)
    ]


def test_what_is_used_is_a_copy_which_later_changes_dont_reach(folder, tmp_path):
    copies = third_party.copied(provided("x", [TREE, TOOL], folder), tmp_path / "work/copies")
    (folder / TOOL.file).write_bytes(b"another")
    (folder / TREE.file).unlink()
    assert [one.path.parent for one in copies] == [tmp_path / "work/copies"] * 2
    assert (tmp_path / "work/copies").stat().st_mode & 0o077 == 0
    for one in copies:
        assert hashlib.sha256(one.path.read_bytes()).hexdigest() == one.sha256
        assert str(folder) not in one.hook


def test_what_was_swapped_since_it_was_looked_at_is_refused_with_its_list_too(folder, tmp_path):
    found = provided("x", [TREE, TOOL], folder)
    (folder / TOOL.file).write_bytes(b"another")
    listed = subprocess.check_output(["sha256sum", TREE.file, TOOL.file], cwd=folder)
    (folder / third_party.SUMS).write_bytes(listed)
    with pytest.raises(ImageError, match="tool was changed while the image was built"):
        third_party.copied(found, tmp_path / "copies")


def test_a_build_uses_the_copies_and_nothing_else(folder, tmp_path, monkeypatch):
    class Fetching(Exception):
        pass

    def fetch(name, wanted, provided, work, **options):
        raise Fetching(*(one.path for one in provided))

    wanted = builder.spec("slurm").model_copy(update={"extras": (TREE, TOOL)})
    monkeypatch.setattr(builder, "spec", lambda name: wanted)
    monkeypatch.setattr(builder, "_fetch", fetch)
    monkeypatch.setattr(builder.tools, "require_tools", lambda: None)
    monkeypatch.setattr(builder.tools, "require_namespace", lambda: None)
    monkeypatch.setattr(builder.tools, "require_space", lambda folder: None)
    with pytest.raises(Fetching) as used:
        builder.build(store=Store(tmp_path / "store"), third_party_folder=folder)
    assert len(used.value.args) == 2
    assert all(path.is_relative_to(tmp_path / "store") for path in used.value.args)


def test_all_that_is_missing_is_said_at_once_with_where_it_comes_from_and_how_to_provide_it(
    tmp_path,
):
    with pytest.raises(ImageError, match="image x needs 2 files that no mirror has") as caught:
        provided("x", [TREE, TOOL], tmp_path / "nowhere")
    for said in (
        "tree.tar.zst: it is missing",
        "the programs; usually from example.org",
        "tool: it is missing",
    ):
        assert said in caught.value.details
    assert "sha256sum tool tree.tar.zst >SHA256SUMS" in caught.value.resolution
    assert "CAMPAIGN_EXTRAS" in caught.value.resolution


def test_a_file_that_is_another_than_listed_is_refused(folder):
    (folder / TOOL.file).write_bytes(b"\x7fELF2")
    with pytest.raises(ImageError, match="needs 1 file that") as caught:
        provided("x", [TREE, TOOL], folder)
    assert (
        "tool: its sha256 is" in caught.value.details
        and "but SHA256SUMS says" in caught.value.details
    )


def test_a_file_that_is_not_listed_is_refused(folder):
    (folder / third_party.SUMS).write_text("")
    with pytest.raises(ImageError) as caught:
        provided("x", [TOOL], folder)
    assert "SHA256SUMS doesn't list it" in caught.value.details


def test_a_pinned_extra_must_be_what_the_specification_says(folder):
    with pytest.raises(ImageError) as caught:
        provided("x", [TOOL.model_copy(update={"sha256": "0" * 64})], folder)
    assert "but the image's specification says" in caught.value.details


def test_an_image_without_extras_needs_no_folder(tmp_path):
    assert provided("slurm", builder.spec("slurm").extras, tmp_path / "nowhere") == []


@pytest.mark.parametrize("to", ["relative", "/a b", '/x";reboot;"', "/$(reboot)"])
def test_where_an_extra_goes_is_a_plain_path(to):
    with pytest.raises(ValidationError):
        ThirdPartyFile(file="x", what="", source="", unpack="file", to=to)


def test_the_folder_is_the_chosen_one_or_the_environments(monkeypatch):
    monkeypatch.setenv(third_party.VARIABLE, "/from/environment")
    assert str(third_party.folder_of("/chosen")) == "/chosen"
    assert str(third_party.folder_of(None)) == "/from/environment"
    monkeypatch.delenv(third_party.VARIABLE)
    assert third_party.folder_of(None).parts[-2:] == ("campaign", "extras")


def test_a_package_file_is_described_as_a_mirror_would(tmp_path):
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: ours\nVersion: 1:2-3\nArchitecture: all\nMaintainer: me "
        "<me@example.org>\nDescription: x\n"
    )
    subprocess.run(
        ["dpkg-deb", "--build", tree, tmp_path / "ours.deb"], check=True, capture_output=True
    )
    package = apt.package_of_file(tmp_path / "ours.deb")
    assert (package.locked.name, package.filename) == ("ours", "ours_1%3a2-3_all.deb")
    line = apt._offer([package], tmp_path / "own", "trixie")
    assert line == f"deb [trusted=yes] copy:{tmp_path / 'own'} ./\n"
    assert (tmp_path / "own" / package.filename).exists()
    assert "Filename: ./ours_1%3a2-3_all.deb" in (tmp_path / "own/Packages").read_text()
