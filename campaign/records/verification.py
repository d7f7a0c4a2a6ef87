"""Whether the files of a campaign's trials are those that its ledger speaks of."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign.core.errors import LedgerError
from campaign.core.trials import Replicate
from campaign.records import dataset
from campaign.records.history import History
from campaign.records.results import Results, sha256_of

_log = logging.getLogger(__name__)
_OF_TRIAL = re.compile(r"\d+(\.instance=\d+)?")


@dataclass(frozen=True)
class Damage:
    """A file of results that isn't what it should be.

    `problem` says what is wrong. A `rebuildable` file is derived from others, and can be made again
    from them; the content of one that is `missing` is lost, but misleads nobody.
    """

    path: Path
    problem: str
    rebuildable: bool = False
    missing: bool = False


def check_results(results: Results, history: History) -> None:
    """Raise LedgerError where results belong to no ledger, or to another, or are damaged.

    Jobs tables that are gone are logged: their trials are complete without them, and all else.
    """
    if history.head is None:
        _check_empty(results)
        return
    found = list(trial_damages(results, history))
    for one in found:
        if one.missing:
            _log.warning("%s: %s", one.path, one.problem)
    wrong = [one for one in found if not one.missing]
    if wrong:
        files = "1 file is" if len(wrong) == 1 else f"{len(wrong)} files are"
        raise LedgerError(
            f"{results.folder}: {files} not what the ledger says",
            "\n".join(f"{one.path}: {one.problem}" for one in wrong),
            "Restore them from a copy, or move them away: their jobs are lost then, all other "
            f"trials stay. `hpc-campaign verify {results.name}` looks at all files.",
        )


def _check_empty(results: Results) -> None:
    there = results.of_trials()
    if there:
        raise LedgerError(
            f"{results.folder} has results of trials, but no campaign in its ledger",
            "\n".join(str(path) for path in there[:5]),
            "Restore the ledger, move the folder away, or use another name=.",
        )


def trial_damages(results: Results, history: History) -> Iterator[Damage]:
    """Yield what is wrong with the jobs tables and folders of trials, by the ledger's history."""
    tables = set(dataset.replicates_in(results.jobs_folder))
    for replicate in sorted(tables | history.records.keys()):
        path = dataset.path_of(results.jobs_folder, replicate)
        try:
            damage = _table_damage(path, replicate, history)
        except LedgerError as error:
            damage = Damage(path, f"it can't be read: {error.details or error.brief}")
        except OSError as error:
            damage = Damage(path, f"it can't be read: {error.strerror}")
        if damage:
            yield damage
    ours = {results.trial_folder(replicate).name for replicate in history.attempts}
    for folder in sorted(results.trials_folder.glob("[0-9]*")):
        if _OF_TRIAL.fullmatch(folder.name) and folder.name not in ours:
            yield Damage(folder, "it belongs to no trial of this ledger")


def _table_damage(path: Path, replicate: Replicate, history: History) -> Damage | None:
    records = history.records.get(replicate, [])
    judged = records[-1].attempt if records else 0
    begun = history.attempts.get(replicate, 0)
    wanted = history.tables.get(replicate)
    if not path.exists():
        lost = wanted or (wanted is None and judged and records[-1].valid)
        # A later attempt may have taken the table away, and makes another.
        lost = lost and begun <= judged
        return Damage(path, "the jobs of this trial are lost", missing=True) if lost else None
    if wanted and sha256_of(path) == wanted:
        return None
    problem = _of_another(path, history)
    if not problem and begun > judged:
        # Drivers may have been killed between an attempt's jobs and its line in the ledger, and
        # after that in later attempts before these had any jobs.
        _, record = dataset.origin_of(path)
        unjudged = judged < record.attempt <= begun
        problem = "" if unjudged else "its checksum is not the ledger's"
    elif not problem and not judged:
        problem = "it belongs to no trial of this ledger"
    elif not problem and wanted is not None:  # None in ledgers of earlier versions
        problem = "its checksum is not the ledger's"
    return Damage(path, problem) if problem else None


def _of_another(path: Path, history: History) -> str:
    identity, _ = dataset.origin_of(path)
    if identity and identity != history.identity:
        return "it belongs to another campaign"
    # Read as a whole, so that its page checksums are looked at.
    dataset.read_file(path)
    return ""
