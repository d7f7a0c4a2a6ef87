"""`hpc-campaign verify`: whether a campaign's files and figures are what ledger and jobs say."""

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from campaign.cli.arguments import add_results
from campaign.cli.output import add_json, print_json, say
from campaign.core.errors import UsageError
from campaign.core.files import user_path

if TYPE_CHECKING:
    from campaign.execution.verify_publication import Verified
    from campaign.records.verification import Damage

DAMAGED = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", help="name of the campaign, or folder of a published one")
    add_results(parser)
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="write campaign.yaml, report, front.json and fairness manifest again and complete "
        "MLflow's runs, all from the ledger and the jobs tables",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print each file that is damaged; return 2 if any is left, else 0."""
    from campaign.execution.verify import damages_of, rebuild
    from campaign.execution.verify_publication import is_publication, verify_publication

    folder = user_path(options.name)
    if is_publication(folder):
        return _published(options, verify_publication(folder))
    found = damages_of(options.results, options.name)
    rebuilt: list[Damage] = []
    if options.rebuild and all(one.rebuildable or one.missing for one in found):
        # JSON is the only thing that a program reads on standard output.
        with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
            rebuild(options.results, options.name)
        left = damages_of(options.results, options.name)
        rebuilt = [one for one in found if one not in left]
        found = left
    if options.json:
        print_json(
            {"damaged": [_plain(one) for one in found], "rebuilt": [_plain(one) for one in rebuilt]}
        )
    else:
        _print(options, found, rebuilt)
    return DAMAGED if found else 0


def _published(options: argparse.Namespace, found: "Verified") -> int:
    if options.rebuild:
        raise UsageError(
            f"verify {options.name} --rebuild: a publication isn't altered",
            resolution="Leave --rebuild out, or verify the campaign that it was made of.",
        )
    if options.json:
        print_json(
            {
                "damaged": [_plain(one) for one in found.damages],
                "sha256": found.identity,
                "files": found.files,
                "figures": found.figures,
                "notes": found.notes,
            }
        )
        return DAMAGED if found.damages else 0
    for one in found.damages:
        say(f"damaged  {one.path}: {one.problem}")
    for note in found.notes:
        say(f"note: {note}")
    if not found.damages:
        say(
            f"{options.name}: {found.files} files are as they were published, and {found.figures:,}"
        )
        say("figures of trials, front and report are what its ledger and jobs give")
        say(f"SHA-256 of its checksums: {found.identity}")
    return DAMAGED if found.damages else 0


def _print(options: argparse.Namespace, found: list["Damage"], rebuilt: list["Damage"]) -> None:
    for one in rebuilt:
        say(f"rebuilt  {one.path}")
    for one in found:
        say(f"damaged  {one.path}: {one.problem}")
        say(f"         fix: {_fix(options, one)}")
    if not found:
        say(
            f"{options.results / options.name}: ledger, jobs tables, figures and all that "
            "follows from them are whole"
        )


def _fix(options: argparse.Namespace, one: "Damage") -> str:
    if one.rebuildable:
        return f"hpc-campaign verify {options.name} --results {options.results} --rebuild"
    if one.missing:
        return "restore the file from a copy; all else of the trial is in the ledger"
    return "restore it from a copy, or move it away"


def _plain(one: "Damage") -> dict[str, object]:
    return {
        "path": str(one.path),
        "problem": one.problem,
        "rebuildable": one.rebuildable,
        "missing": one.missing,
    }
