"""The benchmark's figures, on made-up samples: what is said follows from what was measured, and
nothing else."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from campaign.bench import clusters
from campaign.bench.clusters import OwnGolden, check_origin
from campaign.bench.clusters_table import (
    ANSIBLE,
    MOVED,
    RESTORED,
    ROWS,
    SSH,
    UNCACHED,
    WAY,
    ClusterMeasurements,
    ClusterSample,
    ReadTimes,
    as_json,
    as_svg,
    as_text,
    ratios,
    spread,
    spreads,
)
from campaign.config.compose import compose
from campaign.core.errors import BenchmarkError
from campaign.core.phases import Phase
from campaign.schema.model import ClusterSettings

SVG = "{http://www.w3.org/2000/svg}"


def sample(row, seconds, **more):
    """A cluster that took `seconds`, a tenth of them for its slot."""
    phases = {
        Phase.PLACED: seconds / 10,
        Phase.STARTED: seconds / 5,
        Phase.REACHABLE: seconds / 2,
        Phase.READY: seconds / 5,
    }
    return ClusterSample(row, phases, torn_down_s=0.5, load=1.0, **more)


@pytest.fixture
def measured():
    samples = [sample(ANSIBLE, 120.0), sample(SSH, 40.0), sample(ANSIBLE, 100.0), sample(SSH, 44.0)]
    samples += [
        sample(RESTORED, seconds, restore_s=0.8, memory_s=0.3, loads_s=[0.1, 0.2])
        for seconds in (4.0, 5.0, 6.0)
    ]
    samples += [
        sample(MOVED, 7.0, restore_s=0.8, memory_s=0.3),
        sample(UNCACHED, 9.0, restore_s=2.0, memory_s=1.5),
    ]
    return ClusterMeasurements(
        facts={"image": "abc", "host": {"name": "local"}},
        making_s=55.0,
        read_bytes=300 * 2**20,
        samples=samples,
        floors=[ReadTimes(cached_s=0.1, disk_s=1.0), ReadTimes(cached_s=0.2, disk_s=2.0)],
    )


def test_ratios_are_those_of_medians_and_their_ends_those_of_the_extremes(measured):
    found = {one.what: one for one in ratios(measured)}
    by_ansible = found["(a) / (c)"]
    assert (by_ansible.value, by_ansible.low, by_ansible.high) == pytest.approx(
        (110 / 5, 100 / 6, 120 / 4)
    )
    assert found["(b) / (c)"].value == pytest.approx(42 / 5)
    assert found["memory in place / bare read, both from the page cache"].value == pytest.approx(
        0.3 / 0.15
    )
    assert found["memory in place / bare read, both from disk"].value == pytest.approx(1.5 / 1.5)


def test_what_was_not_measured_is_left_out_and_nothing_is_made_up(measured):
    cut = replace(measured, samples=[sample(SSH, 40.0)], floors=[])
    assert set(spreads(cut)) == {SSH, "torn_down"}
    assert ratios(cut) == []
    assert ROWS[RESTORED] not in as_text(cut)
    ET.fromstring(as_svg(cut))
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_the_table_has_a_line_per_row_with_its_spread_and_its_ratio(measured):
    lines = as_text(measured).splitlines()
    by_ansible = next(line for line in lines if line.startswith(ROWS[ANSIBLE]))
    assert by_ansible.removeprefix(ROWS[ANSIBLE]).split() == [
        "110.00",
        "100.00",
        "120.00",
        "2",
        "22.00",
    ]
    bare = next(line for line in lines if line.startswith("bare read of 300 MiB, page cache"))
    assert bare.split()[-5:] == ["0.150", "0.100", "0.200", "2", "1.00"]
    one_node = next(line for line in lines if line.startswith("one node's"))
    assert one_node.split()[-4:] == ["0.150", "0.100", "0.200", "6"]
    assert "55.0 s" in next(line for line in lines if line.startswith("once"))
    assert max(map(len, lines)) <= 120


def test_json_keeps_every_sample_as_it_was(measured):
    told = json.loads(as_json(measured))
    kept = [
        ClusterSample(**{name: value for name, value in one.items() if name != "seconds"})
        for one in told["samples"]
    ]
    assert [asdict(one) | {"loads_s": list(one.loads_s)} for one in measured.samples] == list(
        map(asdict, kept)
    )
    assert [ReadTimes(**one) for one in told["floors"]] == measured.floors
    assert told["facts"] == measured.facts
    assert told["samples"][0]["seconds"] == pytest.approx(120.0)


def test_bars_are_as_long_as_what_they_stand_for_and_stay_in_the_picture(measured):
    root = ET.fromstring(as_svg(measured))
    width = float(root.get("viewBox").split()[2])
    bars = [one for one in root.iter(f"{SVG}rect") if one.get("height") == "18"]
    lengths = {}
    for bar in bars:
        lengths.setdefault(float(bar.get("y")), []).append(float(bar.get("width")))
        assert float(bar.get("x")) + float(bar.get("width")) < width
    by_ansible, by_ssh, restored, *_ = (sum(parts) for parts in lengths.values())
    assert by_ansible / restored == pytest.approx(110 / 5, rel=0.01)
    assert by_ssh / restored == pytest.approx(42 / 5, rel=0.01)
    reached = next(iter(lengths.values()))[WAY.index(Phase.REACHABLE)]
    assert reached / by_ansible == pytest.approx(0.5, rel=0.01)
    labels = [text for text in root.iter(f"{SVG}text") if text.get("text-anchor") == "end"]
    assert [label.text for label in labels][: len(ROWS)] == list(ROWS.values())
    assert all(
        len(label.text) * 7.2 < float(label.get("x")) for label in labels
    )  # pixels of a wide font


def test_the_picture_suits_dark_pages_and_needs_nothing_from_elsewhere(measured):
    picture = as_svg(measured)
    assert "prefers-color-scheme:dark" in picture
    assert re.findall(r"https?://[^\"']+", picture) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|href|<image|<script", picture)


@pytest.mark.parametrize(
    ("row", "origin"),
    [(RESTORED, ""), (MOVED, ""), (UNCACHED, ""), (SSH, "a key"), (ANSIBLE, "a key")],
)
def test_a_cluster_that_came_about_otherwise_than_its_row_says_ends_the_benchmark(row, origin):
    with pytest.raises(BenchmarkError) as failed:
        check_origin(row, SimpleNamespace(golden_key=origin, cold_because="QEMU refused"))
    assert "QEMU refused" in str(failed.value)
    check_origin(row, SimpleNamespace(golden_key="" if origin else "a key", cold_because=""))


def test_each_run_has_a_golden_cluster_of_its_own(bundle_of_nothing):
    parts = {
        "campaign": "bench",
        "scheduler": compose([]).scheduler,
        "settings": ClusterSettings(),
        "bundle": bundle_of_nothing,
        "smallest": 2,
        "largest": 2,
    }
    first, second, again = (OwnGolden(**parts, run=run).key_inputs() for run in ("1", "2", "1"))
    assert first == again != second
    assert {name for name in first if first[name] != second[name]} == {"benchmark"}


@pytest.fixture
def bundle_of_nothing():
    from campaign.images.debian.builder import spec

    return SimpleNamespace(
        hash="0" * 64, manifest=SimpleNamespace(name="slurm", facts=spec("slurm").facts)
    )


class SlowDisk:
    """A disk and its page cache: reading takes 3 s from the one, half a second from the other."""

    def __init__(self):
        self.now = 0.0
        self.cached = {"before"}

    def read_all(self, golden):
        self.now += 0.5 if golden in self.cached else 3.0
        self.cached.add(golden)

    def drop_cache(self, golden):
        self.now += 7.0
        self.cached.discard(golden)


@pytest.mark.parametrize("golden", ["before", "never read"])
def test_the_floor_is_one_reading_from_the_disk_and_one_from_the_cache(golden, monkeypatch):
    disk = SlowDisk()
    monkeypatch.setattr(clusters, "read_all", disk.read_all)
    monkeypatch.setattr(clusters, "drop_cache", disk.drop_cache)
    monkeypatch.setattr(clusters, "time", SimpleNamespace(monotonic=lambda: disk.now))
    assert clusters.floor_of(golden) == ReadTimes(cached_s=0.5, disk_s=3.0)
