"""A site's nodes, partitions, people and reservations: ten sites' files, and bad ones."""

import random
import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.errors import ConfigError
from schedulers.site_settings import SiteCluster, SiteFiles, SiteLine
from schedulers.slurm.hostlist import MOST_NODES, expanded
from schedulers.slurm.site import read_site
from schedulers.slurm.site_cluster import read_cluster

SITES = Path(__file__).parent / "sites"
NAMES = sorted(folder.name for folder in SITES.iterdir())
PEOPLE = ("people.txt", "qos.txt", "assoc.txt")


def files_of(folder: Path) -> SiteFiles:
    def there(name: str) -> Path | None:
        return folder / name if (folder / name).exists() else None

    people = tuple(folder / name for name in PEOPLE if (folder / name).exists())
    return SiteFiles(folder / "slurm.conf", there("gres.conf"), people, there("reservations.txt"))


def read(folder: Path, conf: str, **others: str) -> SiteCluster:
    (folder / "slurm.conf").write_text(conf)
    for name, text in others.items():
        (folder / f"{name}.{'conf' if name == 'gres' else 'txt'}").write_text(text)
    return read_cluster(files_of(folder))


def whys(found: SiteCluster) -> dict[str, str]:
    return {line.name: line.why for line in found.lines if line.why}


@pytest.mark.parametrize("name", NAMES)
def test_no_line_of_a_sites_files_is_lost(name: str) -> None:
    folder = SITES / name
    found = read_cluster(files_of(folder))
    told: list[SiteLine] = [*read_site(folder / "slurm.conf").lines, *found.lines]
    spoken = {(line.file, line.line) for line in told}
    for file in sorted(folder.iterdir()):
        lines = file.read_text().split("\n")
        begun = True
        for number, line in enumerate(lines, start=1):
            continued = not begun
            begun = not line.endswith("\\")
            head = "|" in line and number == 1
            if line.lstrip().startswith("#") or not line.strip() or continued or head:
                continue
            if not re.match(r"include\s", line, re.IGNORECASE):
                assert (file, number) in spoken, f"{file}, line {number}: {line}"


@pytest.mark.parametrize("name", NAMES)
def test_every_key_of_a_described_line_has_a_verdict(name: str) -> None:
    folder = SITES / name
    found = read_cluster(files_of(folder))
    told = {(line.file, line.line, line.name) for line in found.lines}
    described = re.compile(r"(nodename|nodeset|partitionname|downnodes)=", re.IGNORECASE)
    for file in folder.glob("*.conf"):
        if file.name == "gres.conf":
            continue
        for number, line in enumerate(file.read_text().split("\n"), start=1):
            if described.match(line):
                for key in re.findall(r"(?:^|\s)(\w+)=", line):
                    assert (file, number, key) in told


def test_names_are_expanded_as_slurm_does() -> None:
    assert expanded("n[08-11,200],login1") == ["n08", "n09", "n10", "n11", "n200", "login1"]
    assert expanded("r[1-2]n[1-2]-ib") == ["r1n1-ib", "r1n2-ib", "r2n1-ib", "r2n2-ib"]
    for bad in ("n[3-1]", "n[", "n[]", "n[a-b]", "n,,m", "n]", "n[1-99999]", f"n[0-{MOST_NODES}]"):
        with pytest.raises(ValueError):
            expanded(bad)


def test_equal_nodes_of_the_same_partitions_are_a_group() -> None:
    model = read_cluster(files_of(SITES / "university")).model
    assert {name: group.nodes for name, group in model.groups.items()} == {
        "c": 4,
        "c-2": 116,
        "big": 8,
    }
    assert model.groups["big"].slots == 48
    assert model.groups["big"].memory_mib == 1536000
    assert model.partitions["normal"].groups == ["c", "c-2"]
    assert model.partitions["normal"].default
    assert model.partitions["normal"].allow_qos == ["normal", "long"]
    debug = model.partitions["debug"]
    assert (debug.max_time_s, debug.default_time_s, debug.max_nodes) == (1800, None, 2)
    assert (debug.priority_tier, debug.qos) == (100, "debug")


def test_people_of_a_dump_have_their_shares_limits_and_accounts() -> None:
    model = read_cluster(files_of(SITES / "university")).model
    assert model.accounts["physics"].in_all.max_memory_mib == 4 * 1024**2
    assert model.accounts["theory"].parent == "physics"
    assert model.users["ann"].accounts == ["physics", "biology"]
    assert model.users["ann"].shares == 5
    # What an account allows each of its users.
    assert model.users["cleo"].in_all.max_jobs == 20
    assert model.qos["long"].flags == ["deny_on_limit", "partition_time_limit"]
    assert "root" not in model.users


def test_people_of_a_tree_of_associations_are_read_too() -> None:
    model = read_cluster(files_of(SITES / "bio")).model
    assert {name: one.parent for name, one in model.accounts.items()} == {
        "lab_a": None,
        "cells": "lab_a",
        "lab_b": None,
    }
    assert model.users["a.smith"].qos == ["owner", "normal"]
    assert model.qos["owner"].preempts == ["normal", "scavenger"]
    assert model.qos["scavenger"].preempt == "requeue"
    assert model.qos["normal"].preempt == "suspend"


def test_gpus_have_the_type_that_gres_conf_knows_of_them() -> None:
    groups = read_cluster(files_of(SITES / "gpu-lab")).model.groups
    assert (groups["dgx"].gpus, groups["dgx"].gpu_type) == (8, "a100")
    assert (groups["rtx"].gpus, groups["rtx"].gpu_type) == (4, "rtx6000")
    assert (groups["mixed"].gpus, groups["mixed"].gpu_type) == (4, None)
    # Cores and memory that are Slurm's own are no job's.
    assert (groups["mixed"].slots, groups["mixed"].memory_mib) == (60, 500_000)


def test_partitions_give_way_as_their_own_line_or_the_cluster_says() -> None:
    partitions = read_cluster(files_of(SITES / "gpu-lab")).model.partitions
    assert {name: one.preempt for name, one in partitions.items()} == {
        "gpu": "off",
        "scavenge": "requeue",
        "desk": "requeue",
    }


def test_sets_states_and_whole_nodes_are_understood() -> None:
    centre = read_cluster(files_of(SITES / "hpc-centre")).model
    assert centre.partitions["highmem"].groups == ["hm"]
    assert list(centre.partitions) == ["standard", "highmem", "whole"]
    assert centre.partitions["whole"].exclusive
    assert centre.partitions["whole"].min_nodes == 256
    assert centre.groups["r"].slots == 128
    assert read_cluster(files_of(SITES / "teaching")).model.groups["pc"].nodes == 22
    assert read_cluster(files_of(SITES / "cloud")).model.groups.keys() == {"static", "dyn"}


def test_keys_of_partitions_are_passed_on_where_they_say_something() -> None:
    assert read_cluster(files_of(SITES / "gpu-lab")).params == {
        "partitions.scavenge.GraceTime": 120,
        "partitions.desk.ExclusiveUser": "YES",
    }
    # What DEFAULT says holds for each.
    assert read_cluster(files_of(SITES / "bio")).params == {
        f"partitions.{name}.DefMemPerCPU": 4000 for name in ("all", "owners_a", "owners_b")
    }


def test_a_site_that_gives_whole_nodes_has_partitions_that_do() -> None:
    found = read_cluster(files_of(SITES / "old"))
    assert all(one.exclusive for one in found.model.partitions.values())
    assert whys(found)["SelectType"] == "a job has its nodes for itself"


def test_reservations_count_from_the_workloads_begin() -> None:
    files = files_of(SITES / "university")
    found = read_cluster(files).model.reservations
    assert (found["course"].start_s, found["course"].duration_s) == (0, 4 * 3600)
    assert found["course"].users == ["ann", "cleo"]
    assert found["upkeep"].maintenance
    begin = datetime.fromisoformat("2026-03-02T10:00")
    later = read_cluster(SiteFiles(files.conf, None, files.people, files.reservations, begin))
    course = later.model.reservations["course"]
    assert (course.start_s, course.duration_s) == (0, 2 * 3600)
    assert later.model.reservations["upkeep"].start_s == 44 * 3600


def test_what_is_wrong_in_a_line_is_told_of_its_key(tmp_path: Path) -> None:
    conf = "NodeName=n[1-2] CPUs=many Gres=gpu:9999\nPartitionName=p Nodes=n1,x MaxTime=soon\n"
    found = read(tmp_path, conf)
    told = whys(found)
    assert told["CPUs"].startswith("not a whole number")
    assert told["Gres"].startswith("more than")
    assert told["Nodes"] == "no NodeName describes x"
    assert told["MaxTime"].startswith("Slurm writes a duration")
    assert found.sentences[-1] == "nodes in no partition left out: 1 as n2"


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ({"people": "Account 'x'\n"}, "people.txt, line 1: no line of sacctmgr's"),
        ({"qos": "Name|Priority\nnormal|1|2\n"}, "qos.txt, line 2: 3 columns, and 2 names"),
        ({"reservations": "slurm_load_reservations error\n"}, "line 1: no reservation"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_place(
    tmp_path: Path, others: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        read(tmp_path, "NodeName=n1\n", **others)


def test_an_account_above_itself_has_no_parent(tmp_path: Path) -> None:
    table = "Account|User|ParentName\na||b\nb||a\nc||c\n"
    accounts = read(tmp_path, "NodeName=n1\n", assoc=table).model.accounts
    assert [accounts[name].parent for name in "abc"] in ([None, "a", None], ["b", None, None])


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(NAMES))
def test_mutated_files_are_read_or_refused_in_words(
    seed: int, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draw = random.Random(seed)
    folder = tmp_path_factory.mktemp("site")
    for file in (SITES / name).iterdir():
        text = list(file.read_text())
        for _ in range(draw.choice([0, 1, 8, 60])):
            place = draw.randrange(len(text))
            new = ["", text[place] * 2, chr(draw.randrange(1, 300)), "=", "[", "-1", ",", "|", " "]
            text[place] = draw.choice(new)
        (folder / file.name).write_text("".join(text))
    try:
        found = read_cluster(files_of(folder))
    except ConfigError as error:
        assert str(folder) in error.brief
        return
    assert all(line.line >= 1 and line.file.parent == folder for line in found.lines)
