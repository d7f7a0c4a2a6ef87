"""The metadata of an RO-Crate 1.1: JSON-LD that says what a published campaign is.

https://www.researchobject.org/ro-crate/specification/1.1/ says what must be there: a descriptor, a
root of which every file is a part, and a flat graph in which each entity has an @id of its own.
"""

import mimetypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

METADATA = "ro-crate-metadata.json"
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
SHA256_TERM = "https://w3id.org/ro/terms/workflow-run#sha256"
SOFTWARE = "#hpc-campaign"
RUN = "#run"
DIGEST = "source digest "
MEDIA_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".jsonl": "application/jsonl",
    ".yaml": "application/yaml",
    ".cff": "application/yaml",
    ".md": "text/markdown",
    ".log": "text/plain",
    ".conf": "text/plain",
}
OTHER_MEDIA = "application/octet-stream"
ABOUT = {
    "campaign.yaml": "The configuration of the campaign, with every setting",
    "ledger.jsonl": "The record of all trials, from which everything else is derived; its lines "
    "are chained by checksums",
    "report.html": "The report: a page that needs nothing else",
    "front.json": "How good the front is, for programs",
    "fairness.json": "What differs between the schedulers that were compared",
    "CITATION.cff": "How to cite this campaign",
    "README.md": "What is here, and how to verify it and run it again",
    "LICENSE": "The licence of this campaign's data",
}
FOLDERS = {
    "jobs": "The jobs of each trial: a Parquet data set, a file for each trial and instance",
    "trials": "The rendered configuration and logs of each trial",
    "images": "The manifests of the images that nodes booted",
}


@dataclass(frozen=True)
class Author:
    """A person who made the campaign; `orcid` is empty, or the URL of a researcher's identifier."""

    name: str
    orcid: str = ""

    @property
    def id(self) -> str:
        return self.orcid or f"#{quote(self.name.replace(' ', '-'))}"


@dataclass(frozen=True)
class Licence:
    """The licence of the data: where it is stated (a URL or a file of the crate), and its name."""

    id: str
    name: str
    spdx: str = ""


@dataclass(frozen=True)
class PublishedFile:
    """A file of the crate: its relative path, its size, its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Publication:
    """What a crate says of the campaign `name`.

    `begun` and `ended` are the first and the last moment of its trials (Unix seconds). `software`
    has the version of each program that made its figures, `digest` the hash of our own sources.
    """

    name: str
    title: str
    description: str
    authors: Sequence[Author]
    licence: Licence
    published: date
    begun: float
    ended: float
    version: str
    digest: str
    software: Mapping[str, str] = field(default_factory=dict)
    doi: str = ""


def metadata(publication: Publication, files: Sequence[PublishedFile]) -> dict[str, Any]:
    """Return the JSON-LD of a crate that holds `files` beside this metadata."""
    graph = [
        _descriptor(),
        _root(publication, files),
        *(_file(one) for one in files),
        *_folders(files),
        *_context(publication),
        _run(publication, files),
    ]
    context = [f"{SPECIFICATION}/context", {"sha256": SHA256_TERM}]
    return {"@context": context, "@graph": graph}


def software_of(document: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return by what the figures of a crate were made: our sources' digest, others' versions."""
    entities = {one["@id"]: one for one in document["@graph"]}
    ours = entities[SOFTWARE]
    needed = [entities[one["@id"]] for one in ours["softwareRequirements"]]
    versions = {one["name"]: one["softwareVersion"] for one in needed}
    return ours["identifier"].removeprefix(DIGEST), versions


def _descriptor() -> dict[str, Any]:
    return {
        "@id": METADATA,
        "@type": "CreativeWork",
        "conformsTo": _to(SPECIFICATION),
        "about": _to("./"),
    }


def _root(publication: Publication, files: Sequence[PublishedFile]) -> dict[str, Any]:
    doi = f"https://doi.org/{publication.doi}" if publication.doi else ""
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": publication.title,
        "description": publication.description,
        "datePublished": publication.published.isoformat(),
        "license": _to(publication.licence.id),
        "author": _all(one.id for one in publication.authors),
        "hasPart": _all(_parts_of("", files)),
        "mentions": _to(RUN),
        **({"identifier": doi, "cite-as": doi} if doi else {}),
    }


def _parts_of(folder: str, files: Sequence[PublishedFile]) -> list[str]:
    """Return the ids of what is in a folder (`""`: the root), its folders among them."""
    within = PurePosixPath(folder)
    paths = [PurePosixPath(one.path) for one in files]
    below = [path.relative_to(within) for path in paths if path.is_relative_to(within)]
    prefix = f"{folder}/" if folder else ""
    inner = dict.fromkeys(f"{prefix}{path.parts[0]}/" for path in below if len(path.parts) > 1)
    return [_id(f"{prefix}{path}") for path in below if len(path.parts) == 1] + list(
        map(_id, inner)
    )


def _folders(files: Sequence[PublishedFile]) -> Iterator[dict[str, Any]]:
    parents = (PurePosixPath(one.path).parents for one in files)
    names = dict.fromkeys(str(each) for above in parents for each in reversed(above))
    for name in names:
        if name != ".":
            yield {
                "@id": _id(f"{name}/"),
                "@type": "Dataset",
                "name": FOLDERS.get(name, name),
                "hasPart": _all(_parts_of(name, files)),
            }


def _file(one: PublishedFile) -> dict[str, Any]:
    path = PurePosixPath(one.path)
    kind = MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or OTHER_MEDIA
    about = ABOUT.get(one.path, "")
    if path.name.startswith("workload") and len(path.parts) == 1:
        about = "The jobs that trials replayed, with notes of what was done to get them"
    return {
        "@id": _id(one.path),
        "@type": "File",
        "name": one.path,
        **({"description": about} if about else {}),
        "encodingFormat": kind,
        "contentSize": str(one.size),
        "sha256": one.sha256,
    }


def _context(publication: Publication) -> Iterator[dict[str, Any]]:
    for author in publication.authors:
        yield {"@id": author.id, "@type": "Person", "name": author.name}
    licence = publication.licence
    # A licence that is a file of the crate has its entity there.
    if "://" in licence.id or licence.id.startswith("#"):
        yield {
            "@id": licence.id,
            "@type": "CreativeWork",
            "name": licence.name,
            "description": licence.name,
        }
    needs = [f"#{name}" for name in publication.software]
    yield {
        "@id": SOFTWARE,
        "@type": "SoftwareApplication",
        "name": "hpc-campaign",
        "softwareVersion": publication.version,
        "identifier": f"{DIGEST}{publication.digest}",
        "softwareRequirements": [_to(one) for one in needs],
    }
    for (name, version), needed in zip(publication.software.items(), needs, strict=True):
        yield {
            "@id": needed,
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
        }


def _run(publication: Publication, files: Sequence[PublishedFile]) -> dict[str, Any]:
    """Return the run of the campaign: what it was made of, with what, and what came of it."""
    inputs = [one.path for one in files if one.path.startswith(("campaign.yaml", "workload"))]
    results = [one for one in ("ledger.jsonl", "report.html", "front.json") if _has(files, one)]
    return {
        "@id": RUN,
        "@type": "CreateAction",
        "name": f"the campaign {publication.name}",
        "instrument": _to(SOFTWARE),
        "agent": _all(one.id for one in publication.authors),
        "object": _all(_id(one) for one in inputs),
        "result": _all((*results, *(["jobs/"] if _has(files, "jobs/") else []))),
        "startTime": _moment(publication.begun),
        "endTime": _moment(publication.ended),
    }


def _has(files: Sequence[PublishedFile], start: str) -> bool:
    return any(one.path.startswith(start) for one in files)


def _all(identifiers: Iterable[str]) -> dict[str, str] | list[dict[str, str]]:
    """Return references, a single one without a list around it."""
    found = [_to(one) for one in identifiers]
    return found[0] if len(found) == 1 else found


def _to(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def _id(path: str) -> str:
    return quote(path, safe="/=")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
