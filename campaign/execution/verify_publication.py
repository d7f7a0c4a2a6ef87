"""Looks at a published campaign, by its folder alone: every byte, and every figure once more."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign.core.version import source_digest
from campaign.execution.derived_files import derive
from campaign.execution.figures_again import count_figures, same
from campaign.execution.publish import software
from campaign.execution.report_again import begun
from campaign.execution.verify import damages_of
from campaign.publication.checksums import SUMS, files_in, wrong_files
from campaign.publication.crate import METADATA, software_of
from campaign.records.results import Results, sha256_of
from campaign.records.verification import Damage


@dataclass(frozen=True)
class Verified:
    """What was found: damages, or how many files and figures are as they were published.

    `identity` is the SHA-256 of the list of checksums; `notes` say what could not be compared.
    """

    damages: tuple[Damage, ...]
    identity: str = ""
    files: int = 0
    figures: int = 0
    notes: tuple[str, ...] = ()


def is_publication(folder: Path) -> bool:
    """Return whether a folder is a published campaign, as far as its names tell."""
    return any((folder / name).is_file() for name in (METADATA, SUMS))


def verify_publication(folder: Path) -> Verified:
    """Verify a published campaign; nothing is read outside `folder`, and nothing written there."""
    folder = folder.resolve()
    wrong = [Damage(one.path, one.problem) for one in wrong_files(folder)]
    # What belongs to no publication says nothing of figures.
    if wrong:
        return Verified(tuple(wrong))
    results = Results(folder.parent, folder.name)
    # Its front's figures are compared below: but for last digits, which other machines may have.
    damages = damages_of(folder.parent, folder.name, front=False)
    if damages:
        return Verified(tuple(damages))
    composed, history = begun(results)
    notes = list(_unlike(folder))
    with tempfile.TemporaryDirectory() as place:
        again = Results(Path(place), folder.name)
        again.folder.mkdir()
        derive(composed, history, results, again)
        derived = list(_derived(results, again, exact=not notes))
    return Verified(
        tuple(derived),
        sha256_of(folder / SUMS),
        len(files_in(folder)),
        count_figures(history),
        tuple(notes),
    )


def _unlike(folder: Path) -> Iterator[str]:
    """Yield why the report can't be the same byte for byte here, where it can't."""
    digest, versions = software_of(json.loads((folder / METADATA).read_bytes()))
    here = {"hpc-campaign": source_digest(), **software()}
    there = {"hpc-campaign": digest, **versions}
    other = [
        f"{name} {there[name]} there, {here.get(name, 'none')} here"
        for name in there
        if there[name] != here.get(name)
    ]
    if other:
        yield (
            "the report's page was made by other software, so only figures are compared: "
            + "; ".join(other)
        )


def _derived(results: Results, again: Results, *, exact: bool) -> Iterator[Damage]:
    for before, now in (
        (results.front_path, again.front_path),
        (results.fairness_path, again.fairness_path),
    ):
        if before.is_file() != now.is_file():
            yield Damage(before, "it is there or not, other than by ledger and jobs")
        elif now.is_file() and (place := _difference(_json(before), _json(now))):
            yield Damage(before, f"ledger and jobs give another figure at {place}")
    if exact and results.report_path.read_bytes() != again.report_path.read_bytes():
        yield Damage(results.report_path, "ledger and jobs give another report")


def _json(path: Path) -> object:
    found: object = json.loads(path.read_bytes())
    return found


def _difference(before: object, now: object, place: str = "") -> str:
    """Return where two JSON documents first differ by more than last digits; empty if nowhere."""
    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        pairs = [(f"{place}.{name}", before[name], now[name]) for name in before]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = [(f"{place}[{at}]", *both) for at, both in enumerate(zip(before, now, strict=True))]
    elif isinstance(before, int | float) and isinstance(now, int | float):
        return "" if same(before, now) else place.lstrip(".")
    else:
        return "" if before == now else place.lstrip(".") or "its beginning"
    return next((found for each in pairs if (found := _difference(each[1], each[2], each[0]))), "")
