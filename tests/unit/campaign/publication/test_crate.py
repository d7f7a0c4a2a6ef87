"""The metadata of a crate keeps to what RO-Crate 1.1 wants of every crate."""

from datetime import date

import pytest

from campaign.publication.crate import (
    METADATA,
    Author,
    Licence,
    Publication,
    PublishedFile,
    metadata,
)

FILES = (
    "ledger.jsonl",
    "workload.instance=1.parquet",
    "jobs/trial=00000.parquet",
    "trials/00000/etc/slurm conf#1.txt",
    "LICENSE",
)


@pytest.fixture(params=["https://spdx.org/licenses/MIT", "LICENSE", "#licence"])
def document(request):
    publication = Publication(
        name="mine",
        title="Mine",
        description="What it is.",
        authors=(Author("Ada", "https://orcid.org/0000-0002-1825-0097"), Author("B. and C.")),
        licence=Licence(request.param, "a licence"),
        published=date(2026, 1, 2),
        begun=0.0,
        ended=60.0,
        version="1",
        digest="abc",
        software={"numpy": "2"},
        doi="10.5281/zenodo.1",
    )
    return metadata(publication, [PublishedFile(name, 1, "0" * 64) for name in FILES])


@pytest.fixture
def entities(document):
    return {one["@id"]: one for one in document["@graph"]}


def references(value):
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        else:
            for name, inner in value.items():
                if name != "@id":
                    yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_descriptor_is_about_the_root(entities):
    descriptor = entities[METADATA]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert descriptor["about"] == {"@id": "./"}


def test_the_root_has_what_it_must(entities):
    root = entities["./"]
    assert root["@type"] == "Dataset"
    assert root["datePublished"] == "2026-01-02"
    assert root["name"] and root["description"] and root["license"]["@id"] in entities


def test_each_entity_stands_once_and_each_reference_leads_to_one(document, entities):
    assert len(entities) == len(document["@graph"])
    outside = {"https://w3id.org/ro/crate/1.1"}
    assert set(references(document["@graph"])) - outside <= entities.keys()
    # The graph is flat: what stands in an entity is a value or a reference.
    for one in document["@graph"]:
        for value in one.values():
            for each in value if isinstance(value, list) else [value]:
                assert isinstance(each, str) or set(each) == {"@id"}


def test_every_file_is_a_part_of_the_root_by_way_of_its_folders(entities):
    reached = []
    left = ["./"]
    while left:
        parts = list(references(entities[left.pop()].get("hasPart", [])))
        reached += parts
        left += [one for one in parts if one.endswith("/")]
    files = [name for name, one in entities.items() if one["@type"] == "File"]
    assert len(files) == len(FILES)
    assert set(files) <= set(reached)
    assert len(reached) == len(set(reached))
    assert "trials/00000/etc/slurm%20conf%231.txt" in reached
