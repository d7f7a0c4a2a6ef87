"""`hpc-campaign publish`: a campaign as an RO-Crate that others can verify and run again."""

import argparse
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.cli.arguments import add_results
from campaign.cli.output import say
from campaign.core.errors import UsageError
from campaign.core.files import user_path

if TYPE_CHECKING:
    from campaign.publication.crate import Author, Licence

_AUTHOR = re.compile(r"(?P<name>[^<>]*[^<> ])\s*(?:<(?P<orcid>[^<>]+)>)?")
_ORCID = re.compile(r"(?:https://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_DOI = re.compile(r"(?:https://doi\.org/)?(10\.\d{4,9}/\S+)")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", help="name of the campaign")
    add_results(parser)
    parser.add_argument(
        "--out", type=user_path, metavar="FOLDER", help="what is made (default: NAME-crate)"
    )
    parser.add_argument(
        "--author",
        action="append",
        default=[],
        metavar="'NAME <ORCID>'",
        help="an author, the ORCID if there is one; may be given several times",
    )
    parser.add_argument(
        "--license",
        metavar="SPDX|URL|FILE",
        help="licence of the data: an identifier such as CC-BY-4.0, an address, or its text",
    )
    parser.add_argument("--title", default="", help="title (default: made of the campaign's name)")
    parser.add_argument("--description", default="", help="one paragraph (default: what it is)")
    parser.add_argument("--doi", default="", help="DOI that the publication has or will have")


def run(options: argparse.Namespace) -> int:
    """Publish, and say what was made and how others check it."""
    from campaign.execution.publish import NOT_STATED, Statement, publish

    text = options.license
    file = user_path(text) if text and user_path(text).is_file() else None
    licence = _licence(text, file) if text else NOT_STATED
    statement = Statement(
        authors=[_author(one) for one in options.author],
        licence=licence,
        licence_file=file,
        title=options.title,
        description=options.description,
        doi=_doi(options.doi),
    )
    target = options.out or Path(f"{options.name}-crate")
    identity = publish(options.results, options.name, target, statement, date.today())
    say(f"{target} is an RO-Crate: ro-crate-metadata.json says what is in it")
    say(f"SHA-256 of its checksums: {identity}")
    if not text:
        say("nobody may use it yet: state a licence, as --license CC-BY-4.0")
    say(f"anybody checks it by `hpc-campaign verify {target}`, and runs it again by")
    say(f"`hpc-campaign rerun {target}`")
    return 0


def _author(text: str) -> "Author":
    from campaign.publication.crate import Author

    match = _AUTHOR.fullmatch(text.strip())
    orcid = _ORCID.fullmatch(match["orcid"]) if match and match["orcid"] else None
    if match is None or (match["orcid"] and orcid is None):
        raise UsageError(
            f"--author {text!r}: expected a name, and behind it an ORCID or nothing",
            resolution="Write it as 'Ada Lovelace <0000-0002-1825-0097>'.",
        )
    return Author(match["name"], f"https://orcid.org/{orcid[1]}" if orcid else "")


def _licence(text: str, file: Path | None) -> "Licence":
    from campaign.publication.crate import Licence

    if file:
        return Licence("LICENSE", "see LICENSE")
    if text.startswith(("https://", "http://")):
        return Licence(text, text)
    if _SPDX.fullmatch(text):
        return Licence(f"https://spdx.org/licenses/{text}", text, spdx=text)
    raise UsageError(
        f"--license {text}: neither an SPDX identifier nor an address nor a file",
        resolution="Use --license CC-BY-4.0, for instance; https://spdx.org/licenses has all.",
    )


def _doi(text: str) -> str:
    match = _DOI.fullmatch(text)
    if text and match is None:
        raise UsageError(
            f"--doi {text}: not a DOI", resolution="Write it as 10.5281/zenodo.1234567."
        )
    return match[1] if match else ""
