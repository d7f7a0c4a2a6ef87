"""`hpc-campaign init`: a folder to begin with, in which an example site stands for one's own."""

import argparse
from importlib import resources
from pathlib import Path

from campaign.cli.output import say
from campaign.core.errors import UsageError
from campaign.core.files import user_path, write_durably

EXAMPLE = {
    "log.txt": "what sacct printed of its jobs of a day",
    "slurm.conf": "the settings of the cluster that ran them",
    "people.txt": "its accounts and users, as sacctmgr dumps them",
    "site/tuning.yaml": "a campaign that searches some of the settings",
}
"""The files of the example site, and what each is."""

NEXT = """\
A real Slurm ran these jobs in virtual time, for an invented site. Put your own files in their
place, or begin with these (docs/tutorial.md goes on from here):
  hpc-campaign import log.txt --out log.parquet
  hpc-campaign import slurm.conf --cluster --accounts people.txt --out site/scheduler/heron.yaml
  hpc-campaign search --config-dir site --config-name tuning"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "folder",
        nargs="?",
        type=user_path,
        default=Path(),
        metavar="FOLDER",
        help="where to write the files (default: the current folder)",
    )


def run(options: argparse.Namespace) -> int:
    """Write the example site's files; UsageError where one of that name is there already."""
    folder: Path = options.folder
    there = [name for name in EXAMPLE if (folder / name).exists()]
    if there:
        raise UsageError(
            f"init: {folder / there[0]} is there already",
            resolution="Choose another folder: hpc-campaign init FOLDER.",
        )
    for name, what in EXAMPLE.items():
        content = resources.files("campaign.cli").joinpath("example", *name.split("/")).read_bytes()
        write_durably(folder / name, content)
        say(f"{folder / name}: {what}")
    say(NEXT)
    return 0
