"""Publishes a campaign: a folder that holds all that others need to check it and to run it again.

The folder is laid out as a results folder is, so what reads a campaign reads a publication too.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata as distributions
from pathlib import Path
from platform import python_version

from campaign.config.compose import Composed
from campaign.core.errors import ConfigError, LedgerError
from campaign.core.files import in_use, make_durable, storage_errors, write_durably
from campaign.core.version import software_version, source_digest
from campaign.execution.derived_files import derive
from campaign.execution.ending import trials_of
from campaign.execution.report_again import begun
from campaign.execution.verify import damages_of
from campaign.publication.checksums import SUMS, files_in, sums_of, text_of
from campaign.publication.crate import METADATA, Author, Licence, Publication, PublishedFile
from campaign.publication.crate import metadata as crate_metadata
from campaign.publication.texts import citation, readme
from campaign.records.history import History
from campaign.records.results import Results, sha256_of

_log = logging.getLogger(__name__)
REQUIREMENTS = ("numpy", "pyarrow", "scipy", "moocore", "optuna", "jinja2")
"""The distributions by which figures and report are made, beside our own."""
NOT_STATED = Licence("#licence", "not stated: all rights are with the authors")
KEPT = ("ledger.jsonl", "campaign.yaml", "workload*.parquet", "jobs", "trials", "images")
"""What is copied; logs of processes stay behind, and what is derived is derived again."""


@dataclass(frozen=True)
class Statement:
    """What only its authors can say of a publication; empty where they don't."""

    authors: Sequence[Author] = ()
    licence: Licence = NOT_STATED
    licence_file: Path | None = None
    title: str = ""
    description: str = ""
    doi: str = ""


def software() -> dict[str, str]:
    """Return the versions of the programs by which figures and report are made."""
    versions = {name: distributions.version(name) for name in REQUIREMENTS}
    return {"Python": python_version(), **versions}


def publish(root: Path, name: str, target: Path, statement: Statement, today: date) -> str:
    """Write the campaign `name` of the results folder `root` to the folder `target`.

    Return the SHA-256 of the list of checksums, which tells this publication from any other. Raises
    LedgerError where the campaign still runs or its files are damaged, ConfigError where something
    stands at `target`.
    """
    results = Results(root, name)
    composed, history = begun(results)
    _check(results, name, target)
    if left := trials_of(composed, history) - history.lasting(composed.campaign.search.retries):
        _log.warning("%d trials of %s are left to do: what is published is not the end", left, name)
    publication = _publication(composed, history, statement, today)
    with storage_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        for pattern in KEPT:
            for path in sorted(results.folder.glob(pattern)):
                _copy(path, target / path.name)
        derive(composed, history, results, Results(target.parent, target.name))
        write_durably(target / "CITATION.cff", citation(publication))
        write_durably(target / "README.md", readme(publication))
        if statement.licence_file:
            shutil.copyfile(statement.licence_file, target / publication.licence.id)
        return _seal(target, publication)


def _check(results: Results, name: str, target: Path) -> None:
    if in_use(results.ledger_path):
        raise LedgerError(f"the campaign {name} still runs", resolution="Wait until it ends.")
    if damages := [one for one in damages_of(results.folder.parent, name) if not one.rebuildable]:
        raise LedgerError(
            f"{results.folder}: what is damaged can't be published",
            "\n".join(f"{one.path}: {one.problem}" for one in damages),
            f"`hpc-campaign verify {name}` says how to mend it.",
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(
            f"{target} exists", resolution="Choose another --out FOLDER, or remove it."
        )


def _copy(path: Path, target: Path) -> None:
    if path.is_dir():
        # What begins with a dot is the draft of a writer that was killed.
        shutil.copytree(path, target, ignore=shutil.ignore_patterns(".*"))
    else:
        shutil.copyfile(path, target)


def _seal(target: Path, publication: Publication) -> str:
    """Write metadata and checksums of what is in `target`; return the hash of the checksums."""
    files = [
        PublishedFile(name, (target / name).stat().st_size, sha256_of(target / name))
        for name in files_in(target)
    ]
    document = crate_metadata(publication, files)
    write_durably(target / METADATA, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_durably(target / SUMS, text_of(sums_of(target)))
    make_durable(target)
    return sha256_of(target / SUMS)


def _publication(
    composed: Composed, history: History, statement: Statement, today: date
) -> Publication:
    campaign = composed.campaign
    records = history.final()
    return Publication(
        name=campaign.name,
        title=statement.title or f"The campaign {campaign.name} of hpc-campaign",
        description=statement.description or _described(composed, history),
        authors=statement.authors or (Author(f"the authors of the campaign {campaign.name}"),),
        licence=statement.licence,
        published=today,
        begun=history.head["time"] if history.head else 0.0,
        ended=max((record.ended for record in records), default=0.0),
        version=software_version(),
        digest=source_digest(),
        software=software(),
        doi=statement.doi,
    )


def _described(composed: Composed, history: History) -> str:
    campaign = composed.campaign
    records = history.final()
    valid = sum(record.valid for record in records)
    goals = " and ".join(f"{name} ({way}d)" for name, way in campaign.objectives.items())
    return (
        f"{len(records)} trials, {valid} of them valid, of settings of the batch scheduler "
        f"{' and '.join(campaign.scheduler.names)} on the testbed {campaign.testbed.kind}, "
        f"searched for {goals}, with all their jobs."
    )
