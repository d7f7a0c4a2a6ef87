"""The parts of the Debian builder that decide: sources, packages, drift, kernel, initramfs."""

import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from campaign.core.errors import ImageError
from campaign.images.bundles import tools
from campaign.images.debian import apt, builder, lock
from campaign.images.debian.apt import AptSource, Mirror, Package
from campaign.images.debian.lock import Lock, LockedPackage
from campaign.images.packing import cpio, initramfs, kernel

DEB822 = """\
# a comment
Types: deb
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main contrib

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
"""
ONE_LINE = """\
# deb http://commented.example/debian trixie main
deb-src http://source.example/debian trixie main
deb [arch=amd64 signed-by=/x] http://tools.example/apt stable-tools main
deb [arch=amd64] http://mirror.example/debian trixie main contrib # why
"""


def package(name, version="1.0", digest="a"):
    return LockedPackage(name=name, version=version, architecture="amd64", sha256=digest * 64)


def test_deb822_sources_are_read_and_disabled_ones_left_out():
    found = apt.parse_deb822(DEB822)
    assert [source.uri for source in found] == [
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
    ]
    assert apt.choose_mirror(found) == Mirror(
        "http://mirror.example/debian", "http://mirror.example/debian-security"
    )


def test_one_line_sources_are_read_without_options_and_comments():
    found = apt.parse_list(ONE_LINE)
    assert found[-1] == AptSource("http://mirror.example/debian", ("trixie",), ("main", "contrib"))
    assert apt.choose_mirror(found) == Mirror("http://mirror.example/debian")


def test_a_machine_without_a_debian_mirror_is_told_how_to_name_one():
    with pytest.raises(ImageError, match="no Debian mirror") as failure:
        apt.choose_mirror([AptSource("http://tools.example/apt", ("tools",), ("main",))])
    assert "--mirror" in failure.value.resolution


def test_both_styles_are_read_from_a_configuration_folder(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list").write_text("# moved\n")
    assert apt.configured_mirror(tmp_path).archive == "http://mirror.example/debian"


def test_the_security_archive_is_used_only_where_it_is_configured():
    assert "trixie-security" not in Mirror("http://m.example/d").sources("trixie")
    assert "http://m.example/s trixie-security main" in Mirror(
        "http://m.example/d", "http://m.example/s"
    ).sources("trixie")


def test_a_package_paragraph_becomes_a_locked_package_and_the_name_of_its_file():
    text = (
        "Package: perl\nVersion: 1:5.40-6\nArchitecture: amd64\nSHA256: "
        f"{'c' * 64}\nDescription: x\n more: text"
    )
    found = apt.parse_package(text)
    assert found.locked == LockedPackage(
        name="perl", version="1:5.40-6", architecture="amd64", sha256="c" * 64
    )
    assert found.filename == "perl_1%3a5.40-6_amd64.deb"


def test_a_paragraph_without_a_hash_is_refused_and_shown():
    with pytest.raises(ImageError, match="SHA256") as failure:
        apt.parse_package("Package: x\nVersion: 1\nArchitecture: all")
    assert "Package: x" in failure.value.details


def test_the_local_index_offers_the_packages_under_their_local_names(tmp_path):
    paragraph = "Package: a\nVersion: 1\nFilename: pool/main/a/a_1_amd64.deb\nDescription: x"
    apt.write_index([Package(package("a", "1"), paragraph)], tmp_path, "trixie")
    assert apt.parse_fields((tmp_path / "Packages").read_text())["Filename"] == "./a_1_amd64.deb"
    assert "Codename: trixie" in (tmp_path / "Release").read_text()


def test_differences_name_what_changed_came_and_went():
    old = Lock.of([package("a"), package("b"), package("gone"), package("same")])
    new = Lock.of([package("a", "1.1"), package("b", digest="f"), package("came"), package("same")])
    assert lock.differences(old, new) == [
        "a 1.0 -> 1.1",
        "b 1.0: same version, other content (aaaaaaaaaaaa -> ffffffffffff)",
        "came (none) -> 1.0",
        "gone 1.0 -> (none)",
    ]


def test_a_lock_is_read_back_as_it_was_written_one_package_a_line(tmp_path):
    made = Lock.of([package("b"), package("a", "2:1-1")])
    made.write(tmp_path / "x.lock.json")
    assert lock.read(tmp_path / "x.lock.json") == made
    assert len((tmp_path / "x.lock.json").read_text().splitlines()) == 4


def test_a_broken_lock_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "x.lock.json").write_text('{"packages": [{"name": "a"}]}')
    with pytest.raises(ImageError, match=r"x\.lock\.json"):
        lock.read(tmp_path / "x.lock.json")


def test_drift_is_a_warning_and_refused_when_locked(caplog):
    builder._judge_drift("slurm", ["munge 1 -> 2"], False)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "munge 1 -> 2" in caplog.text and "hash will differ" in caplog.text
    with pytest.raises(builder.LockDriftError) as failure:
        builder._judge_drift("slurm", ["munge 1 -> 2"], True)
    assert "munge 1 -> 2" in failure.value.details
    assert "image lock slurm" in failure.value.resolution


@pytest.mark.parametrize("image", ["slurm", "slurm-burn"])
def test_the_committed_lock_fits_the_specification(image):
    spec = builder.spec(image)
    names = lock.read(builder.lock_path(image)).versions
    assert set(spec.packages) | {spec.kernel, "busybox-static"} <= names.keys()
    assert any(name.startswith("linux-image-6") for name in names)


def test_an_image_that_extends_another_only_says_what_it_adds():
    plain = builder.spec("slurm")
    burn = builder.spec("slurm-burn")
    assert burn.packages == (*plain.packages, "stress-ng")
    assert burn.model_copy(update={"packages": plain.packages}) == plain
    assert "cgroup_disable=memory" in burn.kernel_cmdline
    assert (
        "cgroup_disable=memory" not in builder.spec("kubernetes").kernel_cmdline
    )  # a kubelet needs it


def test_an_unknown_image_names_those_there_are():
    with pytest.raises(ImageError) as failure:
        builder.spec("slrum")
    assert "slurm" in failure.value.details


def bzimage(payload):
    """A bzImage as the x86 boot protocol lays it out: one setup sector, then the payload and its
    unpacked size."""
    image = bytearray(1024)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    image[0x248:0x24C] = (0).to_bytes(4, "little")
    image[0x24C:0x250] = (len(payload) + 4).to_bytes(4, "little")
    return bytes(image) + payload + b"size" + b"trailing code"


def zstd(data):
    return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd])
def test_the_kernel_is_taken_out_of_its_bzimage(pack):
    if pack is zstd and not shutil.which("zstd"):
        pytest.skip("no zstd")
    assert kernel.vmlinux(bzimage(pack(b"\x7fELF kernel"))) == b"\x7fELF kernel"


@pytest.mark.parametrize(
    "image", [b"\0" * 2048, bzimage(b"unknown packing"), bzimage(gzip.compress(b"no ELF"))]
)
def test_what_is_no_kernel_is_refused(image):
    with pytest.raises(ImageError):
        kernel.vmlinux(image)


def driver(depends, body=b"code"):
    return b"\x7fELF\0license=GPL\0depends=" + depends + b"\0name=x\0" + body


def test_a_driver_is_unpacked_and_loses_its_signature():
    signature = b"s" * 300
    signed = (
        driver(b"")
        + signature
        + b"\0" * 8
        + len(signature).to_bytes(4, "big")
        + b"~Module signature appended~\n"
    )
    assert kernel.module(lzma.compress(signed), "x.ko.xz") == driver(b"")
    assert kernel.module(driver(b""), "x.ko") == driver(b"")


def test_drivers_come_after_what_they_need(tmp_path):
    tree = tmp_path / "kernel"
    tree.mkdir()
    for name, depends in {"net": b"fail-over,core", "core": b"", "fail-over": b"core"}.items():
        (tree / f"{name}.ko.xz").write_bytes(lzma.compress(driver(depends.replace(b"-", b"_"))))
    assert list(initramfs.drivers(tmp_path, ["net", "core"])) == ["core", "fail_over", "net"]


def test_a_driver_that_the_kernel_lacks_is_named(tmp_path):
    with pytest.raises(ImageError, match="virtio_blk"):
        initramfs.drivers(tmp_path, ["virtio_blk"])


@pytest.mark.skipif(not shutil.which("cpio"), reason="no cpio to read the archive with")
def test_the_initramfs_unpacks_with_the_standard_tool(tmp_path):
    archive = initramfs.build(
        busybox=b"busybox",
        init=b"#!/bin/sh\n",
        modules={"b": b"B", "a": b"A" * 5},
        memory_modules={"m": b"M"},
    )
    subprocess.run(["cpio", "-id", "--quiet"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "modules/order").read_text() == "b.ko\na.ko\n"
    assert (tmp_path / "modules/memory").read_text() == "m.ko\n"
    assert (tmp_path / "modules/a.ko").read_bytes() == b"AAAAA"
    assert (tmp_path / "bin/sh").readlink() == Path("busybox")
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "proc").is_dir()


def test_an_archive_of_the_same_files_is_the_same_bytes():
    entries = [cpio.CpioEntry("d", cpio.DIRECTORY), cpio.CpioEntry("d/f", cpio.FILE, b"x")]
    assert cpio.archive(entries) == cpio.archive(entries)
    assert len(cpio.archive(entries)) % 4 == 0


def test_a_build_is_root_of_its_own_namespace_at_least():
    assert tools.run([*tools.as_root(), "id", "-u"]) == "0\n"


def test_what_a_killed_build_left_to_other_user_ids_is_removed(tmp_path):
    left = tmp_path / "left"
    (left / "guest").mkdir(parents=True)
    (left / "guest/file").touch()
    tools.run(
        [
            *tools.as_root(),
            "sh",
            "-c",
            'chmod 700 "$1" && chown -R 7:7 "$1"',
            "sh",
            str(left / "guest"),
        ]
    )
    tools.remove_tree(left)
    assert not left.exists()


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("echo mkfs.erofs 1.5; exit 1", "1.5"),
        ("echo 'mkfs.erofs (erofs-utils) 1.8.6'", "1.8.6"),
        ("true", ""),
    ],
)
def test_a_tools_version_is_found_in_what_it_says(says, version, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    assert tools.version(str(program)) == version


def test_missing_tools_are_named_with_the_command_that_installs_them(monkeypatch, tmp_path):
    monkeypatch.setattr(tools, "search_path", lambda: str(tmp_path))
    with pytest.raises(ImageError) as failure:
        tools.require_tools()
    assert "mmdebstrap" in failure.value.brief
    assert "apt-get install" in failure.value.resolution
    assert "erofs-utils" in failure.value.resolution


def test_a_failing_program_shows_its_last_lines():
    with pytest.raises(ImageError, match="exit status: 3") as failure:
        tools.run(["sh", "-c", "seq 1000; echo reason >&2; exit 3"])
    assert failure.value.details.endswith("1000\nreason")
    assert "\n50\n" not in failure.value.details


def test_a_full_disk_is_called_that(tmp_path):
    with pytest.raises(ImageError, match=r"disk of .* is full"):
        tools.run(
            ["sh", "-c", "echo 'write: No space left on device' >&2; exit 1"], folder=tmp_path
        )
    with pytest.raises(ImageError, match="is full"), tools.disk_errors(tmp_path):
        raise OSError(28, "No space left on device")


def test_a_build_without_room_is_refused_before_it_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "BUILD_SPACE", 2**62)
    with pytest.raises(ImageError, match="is full") as failure:
        tools.require_space(tmp_path)
    assert "image gc" in failure.value.resolution


def test_the_guests_scripts_are_sound_shell():
    guest = Path(builder.__file__).parent / "guest"
    for name, shell in {
        "init": "sh",
        "customize.sh": "sh",
        "root/usr/lib/campaign/network": "bash",
    }.items():
        subprocess.run([shell, "-n", str(guest / name)], check=True)
