"""The fairness manifest: what differs comes first, of every aspect, with what the trials brought
home of each arm."""

from dataclasses import replace

from campaign.analysis.fairness import UNKNOWN, manifest, plain
from campaign.core.provenance import Group, label_of, names_of
from schedulers.base import ASPECTS
from schedulers.registry import adapter
from tests.samples import sample

HEAD_MEMORY = label_of("head_used_mib", "median")
ARMS = {name: adapter(name) for name in ("slurm", "flux")}


def record(number, scheduler, **provenance):
    one = sample(number).record
    return one.model_copy(
        update={"provenance": replace(one.provenance, scheduler=scheduler, **provenance)}
    )


RECORDS = [
    record(
        0,
        "slurm",
        image_hash="aa",
        scheduler_version="24.11.5",
        head_used_mib=90,
        node_used_mib=60,
    ),
    record(
        1,
        "slurm",
        image_hash="aa",
        scheduler_version="24.11.5",
        head_used_mib=96,
        node_used_mib=62,
    ),
    record(2, "flux", image_hash="bb", scheduler_version="0.88.0", head_used_mib=None, qemu="9.9"),
]


def rows_of(records):
    return {row.aspect: row for row in manifest(ARMS, records)}


def test_every_aspect_has_a_word_of_every_arm_and_what_differs_comes_first() -> None:
    rows = manifest(ARMS, RECORDS)
    assert {
        *ASPECTS.values(),
        *map(label_of, names_of(Group.RECORDED)),
        *(label_of(name, "median") for name in names_of(Group.MEASURED)),
    } == {r.aspect for r in rows}
    assert all(tuple(row.values) == ("slurm", "flux") for row in rows)
    equal = [row.equal for row in rows]
    assert equal == sorted(equal) and True in equal and False in equal
    assert (
        rows[0].aspect == ASPECTS["backfill"]
    )  # what adapters say of themselves stands before what was recorded
    assert next(row for row in rows if row.aspect == ASPECTS["gang"]).equal


def test_what_trials_brought_home_is_told_by_arm() -> None:
    rows = rows_of(RECORDS)
    assert (
        rows["image hash"].values == {"slurm": "aa", "flux": "bb"} and not rows["image hash"].equal
    )
    assert rows[HEAD_MEMORY].values == {"slurm": "93", "flux": UNKNOWN}
    assert rows["kernel of the nodes"].equal


def test_an_arm_with_several_values_shows_them_all() -> None:
    rows = rows_of([*RECORDS, record(3, "slurm", image_hash="cc")])
    assert rows["image hash"].values["slurm"] == "aa, cc"


def test_an_arm_without_trials_is_not_known() -> None:
    assert rows_of([])["version"].values == {"slurm": UNKNOWN, "flux": UNKNOWN}


def test_the_manifest_is_json() -> None:
    found = plain(manifest(ARMS, RECORDS))
    assert found[0].keys() == {"aspect", "values", "equal"}


def test_one_scheduler_beside_itself_is_equal_in_what_it_says_of_itself() -> None:
    rows = manifest({"a": ARMS["slurm"], "b": ARMS["slurm"]}, [])
    assert all(row.equal for row in rows if row.aspect in ASPECTS.values())
