"""`hpc-campaign image extras`: files come from their publishers whole and right, or not at all."""

import io
import random
import re
import resource
import socket
import subprocess

import pytest
from rich.console import Console

from campaign.__main__ import main
from campaign.cli import downloading
from campaign.cli.downloading import BarWatch
from campaign.core.errors import ImageError, StorageError
from campaign.extras import download
from campaign.extras.archive import archive_of
from campaign.extras.download import Downloads, Stated
from campaign.extras.table import FILES, HOSTS, ArchiveOfFiles, InContainerImage, Released
from campaign.images.debian import builder
from campaign.images.debian.third_party import SUMS, provided
from tests.unit.campaign.extras.publishers import layer_of, serving, sha256

LARGE = random.Random(1).randbytes(3_000_000)
CRDS = {"a.yaml": b"kind: A\n", "b.yaml": b"kind: B\n"}


class Watched:
    """A watch that remembers how far each file was."""

    def __init__(self):
        self.seen = []

    def begin(self, name):
        self.seen = []

    def at(self, done, total):
        self.seen.append((done, total))

    def end(self):
        pass


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    monkeypatch.setattr(download, "SILENCE_TIMEOUT_S", 5.0)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def publisher(monkeypatch):
    """A publisher that has all files of the image, as the table says."""
    with serving() as publisher:
        rows = dict(FILES["kubernetes"])
        for name, row in rows.items():
            if isinstance(row, Released):
                publisher.release(f"/{row.path}", f"{name} of the release".encode())
            elif isinstance(row, InContainerImage):
                layers = [layer_of({"etc/os-release": b"ID=alpine\n"}), layer_of({name: LARGE})]
                publisher.container_image(row.repository, row.tag, layers)
            else:
                base = f"/{row.repository}/{row.commit}"
                publisher.files |= {f"{base}/config/{file}": CRDS[file] for file in CRDS}
                rows[name] = ArchiveOfFiles(
                    row.base,
                    row.repository,
                    row.commit,
                    tuple(f"config/{file}" for file in CRDS),
                    sha256(archive_of(CRDS)),
                )
        monkeypatch.setitem(FILES, "kubernetes", rows)
        yield publisher


def command(publisher, folder, *more):
    mirrors = [f"--mirror={host}={publisher.url}" for host in HOSTS]
    return main(["image", "extras", "kubernetes", f"--extras={folder}", *mirrors, *more])


def fetch(publisher, target, content=LARGE, **stated):
    """Bring one large file; return what was seen of it."""
    publisher.files["/large"] = content
    watch = Watched()
    word = Stated(stated.get("sha256", sha256(LARGE)), "its publisher")
    Downloads({"https://example.org": publisher.url}).bring(
        "https://example.org/large", target, word, watch
    )
    return watch.seen


def test_the_table_has_exactly_the_files_that_the_specification_wants():
    for image, rows in FILES.items():
        assert {one.file for one in builder.spec(image).extras} == set(rows)


def test_the_command_brings_all_that_the_builder_asks_for(publisher, tmp_path, capsys):
    folder = tmp_path / "extras"
    assert command(publisher, folder) == 0
    found = provided("kubernetes", builder.spec("kubernetes").extras, folder)
    assert len(found) == 7
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=folder, check=True)
    assert (folder / "vc-scheduler").read_bytes() == LARGE
    assert (folder / "kubelet").read_bytes() == b"kubelet of the release"
    listed = subprocess.check_output(["tar", "-tf", folder / "volcano-crds.tar"], text=True)
    assert listed.split() == sorted(CRDS)
    said = capsys.readouterr()
    for name in FILES["kubernetes"]:
        assert sum(line.startswith(f"{name}: ") for line in said.err.splitlines()) == 1
    assert f"are in {folder}" in said.out
    assert {path.name for path in folder.iterdir()} == {*FILES["kubernetes"], SUMS, ".lock"}


def test_what_is_there_and_right_is_not_fetched_again(publisher, tmp_path, capsys):
    command(publisher, tmp_path)
    publisher.asked.clear()
    assert command(publisher, tmp_path) == 0
    assert publisher.asked == []
    assert "kubelet: there and right, of https://dl.k8s.io/" in capsys.readouterr().err


def test_what_is_damaged_or_of_another_version_is_said_and_fetched_again(
    publisher, tmp_path, capsys
):
    command(publisher, tmp_path)
    (tmp_path / "kubelet").write_bytes(b"rot")
    sums = tmp_path / SUMS
    sums.write_text(sums.read_text().replace("kube-scheduler is https", "kube-scheduler is older"))
    capsys.readouterr()
    publisher.asked.clear()
    assert command(publisher, tmp_path) == 0
    said = capsys.readouterr().err
    assert "kubelet: there, but not what SHA256SUMS says" in said
    assert "kube-scheduler: there, but another version (older://dl.k8s.io/" in said
    assert (tmp_path / "kubelet").read_bytes() == b"kubelet of the release"
    fetched = {path.rpartition("/")[2] for path, _ in publisher.asked}
    # The other one is right after all, by its publisher's checksum.
    assert fetched == {"kubelet", "kubelet.sha256", "kube-scheduler.sha256"}


def test_a_users_own_file_is_kept_and_other_lines_of_the_list_are_too(publisher, tmp_path, capsys):
    (tmp_path / "vc-scheduler").write_bytes(b"built here")
    own = f"{sha256(b'flux')}  flux.tar.zst\n{sha256(b'built here')} *vc-scheduler\n"
    (tmp_path / SUMS).write_text(own)
    assert command(publisher, tmp_path) == 0
    assert "vc-scheduler: yours" in capsys.readouterr().err
    assert (tmp_path / "vc-scheduler").read_bytes() == b"built here"
    assert f"{sha256(b'flux')}  flux.tar.zst\n" in (tmp_path / SUMS).read_text()
    assert publisher.times("/v2/volcanosh/vc-scheduler/manifests/v1.15.1") == 0


def test_a_transfer_that_breaks_off_goes_on_where_it_was(publisher, tmp_path):
    piece = download.PIECE_BYTES
    publisher.breaks = [60 * piece + 1, 0, 30 * piece]
    seen = fetch(publisher, tmp_path / "large")
    assert (tmp_path / "large").read_bytes() == LARGE
    assert [asked for _, asked in publisher.asked] == [
        "",
        f"bytes={60 * piece}-",
        f"bytes={60 * piece}-",
        f"bytes={90 * piece}-",
    ]
    assert seen[-1] == (len(LARGE), len(LARGE))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_command_that_was_interrupted_is_gone_on_with_by_the_next(publisher, tmp_path):
    publisher.breaks = [100 * download.PIECE_BYTES] + [0] * download.TRIES
    with pytest.raises(ImageError) as caught:
        fetch(publisher, tmp_path / "large")
    assert "the same command again" in caught.value.resolution
    assert not (tmp_path / "large").exists()
    publisher.asked.clear()
    fetch(publisher, tmp_path / "large")
    assert publisher.asked == [("/large", f"bytes={100 * download.PIECE_BYTES}-")]
    assert (tmp_path / "large").read_bytes() == LARGE


def test_a_download_that_was_complete_but_not_renamed_is_only_verified(publisher, tmp_path):
    (tmp_path / f".large.{sha256(LARGE)[:16]}.part").write_bytes(LARGE)
    fetch(publisher, tmp_path / "large")
    assert publisher.asked == [("/large", f"bytes={len(LARGE)}-")]


@pytest.mark.parametrize("ranges", ["ignored", "wrong"])
def test_a_server_without_ranges_begins_anew(publisher, tmp_path, ranges):
    publisher.ranges = ranges
    publisher.breaks = [1_000_000]
    fetch(publisher, tmp_path / "large")
    assert (tmp_path / "large").read_bytes() == LARGE


@pytest.mark.parametrize("left", [b"other bytes", LARGE + b"more"])
def test_what_an_earlier_command_left_and_is_wrong_is_fetched_anew(publisher, tmp_path, left):
    (tmp_path / f".large.{sha256(LARGE)[:16]}.part").write_bytes(left)
    fetch(publisher, tmp_path / "large")
    assert (tmp_path / "large").read_bytes() == LARGE


def test_a_server_that_lies_leaves_nothing_under_the_files_name(publisher, tmp_path):
    with pytest.raises(ImageError) as caught:
        fetch(publisher, tmp_path / "large", LARGE[:-1] + b"!")
    assert "not the file that its publisher states" in caught.value.brief
    assert sha256(LARGE) in caught.value.details
    assert list(tmp_path.iterdir()) == []
    assert publisher.times("/large") == 1


def test_a_lie_costs_the_command_nothing_but_that_file(publisher, tmp_path, capsys):
    row = FILES["kubernetes"]["kube-scheduler"]
    publisher.release(f"/{row.path}", b"another", stated=sha256(b"what it should be"))
    assert command(publisher, tmp_path) == 2
    assert "error: http" in capsys.readouterr().err
    assert not (tmp_path / "kube-scheduler").exists()
    assert (tmp_path / "kube-apiserver").exists()
    assert "kube-apiserver" in (tmp_path / SUMS).read_text()


def test_a_layer_or_a_manifest_that_is_another_is_refused(publisher, tmp_path, capsys):
    (tag,) = [path for path in publisher.files if path.endswith("vc-scheduler/manifests/v1.15.1")]
    publisher.files[tag] += b" "
    assert command(publisher, tmp_path) == 2
    assert "is not what the registry states" in capsys.readouterr().err
    publisher.files[tag] = publisher.files[tag][:-1]
    blobs = [path for path in publisher.files if "vc-scheduler/blobs/" in path]
    publisher.files[blobs[-1]] = publisher.files[blobs[-1]][:-1] + b"!"
    assert command(publisher, tmp_path) == 2
    assert "the manifest of https://registry-1.docker.io/" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if "vc-scheduler" in path.name]


def test_crds_that_are_others_are_refused(publisher, tmp_path, capsys):
    row = FILES["kubernetes"]["volcano-crds.tar"]
    publisher.files[f"/{row.repository}/{row.commit}/config/a.yaml"] = b"kind: Other\n"
    assert command(publisher, tmp_path) == 2
    assert "the files for volcano-crds.tar are not those of" in capsys.readouterr().err
    assert not (tmp_path / "volcano-crds.tar").exists()


def test_a_registry_that_wants_a_token_and_sends_blobs_from_elsewhere(publisher, tmp_path):
    publisher.guarded = True
    with serving() as elsewhere:
        for path in [path for path in publisher.files if "/blobs/" in path]:
            elsewhere.files[path] = publisher.files.pop(path)
            publisher.moved[path] = elsewhere.url + path
        assert command(publisher, tmp_path) == 0
    assert (tmp_path / "vc-controller-manager").read_bytes() == LARGE


def test_a_file_in_none_of_the_layers_is_an_error(publisher, tmp_path, capsys):
    publisher.container_image("volcanosh/vc-scheduler", "v1.15.1", [layer_of({"other": b""})])
    assert command(publisher, tmp_path) == 2
    assert "has no such file" in capsys.readouterr().err
    publisher.container_image("volcanosh/vc-scheduler", "v1.15.1", [], platform="riscv64")
    assert command(publisher, tmp_path) == 2
    assert "nothing for linux/amd64" in capsys.readouterr().err


def test_a_file_that_is_gone_and_a_server_that_is_busy(publisher, tmp_path, capsys):
    publisher.busy = download.TRIES - 1
    row = FILES["kubernetes"]["kubelet"]
    del publisher.files[f"/{row.path}"]
    assert command(publisher, tmp_path) == 2
    said = capsys.readouterr().err
    assert "kube-apiserver: " in said and "kubelet: HTTP status 404" in said
    publisher.busy = 100
    assert command(publisher, tmp_path) == 2
    assert "HTTP status 503" in capsys.readouterr().err


def test_a_server_that_falls_silent_is_given_up(publisher, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SILENCE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(download, "TRIES", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ImageError, match="can't be reached"):
            Downloads().text(f"{address}/x")


def test_proxies_are_those_of_the_environment(publisher, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", publisher.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    publisher.files["http://mirror.invalid/x"] = b"by the proxy"
    assert Downloads().text("http://mirror.invalid/x") == b"by the proxy"


def test_a_full_disk_is_said_and_the_part_stays(publisher, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"\.part can't be written") as caught:
            fetch(publisher, tmp_path / "large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Free some disk" in caught.value.resolution
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    publisher.asked.clear()
    fetch(publisher, tmp_path / "large")
    assert publisher.asked == [("/large", "bytes=1000000-")]


@pytest.mark.parametrize("width", [60, 120])
def test_a_terminal_has_a_bar_that_fits_and_goes(width):
    screen = io.StringIO()
    watch = BarWatch(Console(file=screen, force_terminal=True, width=width))
    watch.begin("kube-controller-manager")
    watch.at(1 << 20, 72 << 20)
    watch._progress.refresh()
    watch.end()
    drawn = [line for line in re.split(r"[\r\n]", screen.getvalue()) if "1.0/72.0 MiB" in line]
    assert drawn
    for line in drawn:
        assert len(re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", line)) <= width


def test_what_takes_long_says_how_far_it_is(publisher, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(downloading, "STILL_EVERY_S", 0.0)
    assert command(publisher, tmp_path) == 0
    assert "vc-scheduler: 2.9 of 2.9 MiB" in capsys.readouterr().err


@pytest.mark.parametrize("image", ["slurm", "flux"])
def test_an_image_whose_files_cant_be_brought_says_why(image, tmp_path, capsys):
    assert main(["image", "extras", image, f"--extras={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert {"slurm": "needs no files", "flux": "docs/schedulers.md has each command"}[image] in said


def test_a_mirror_of_an_unknown_host_is_refused(tmp_path, capsys):
    assert main(["image", "extras", "kubernetes", "--mirror=example.org=https://m.org"]) == 2
    assert "HOST is one of dl.k8s.io" in capsys.readouterr().err
