"""`hpc-campaign import`: a site's own log becomes one file that any campaign can replay."""

import argparse

from campaign.cli.arguments import file_to_write
from campaign.cli.output import say
from campaign.config.workload_source import FILE_USAGE, SETTINGS_USAGE, find_workload
from campaign.core.errors import UsageError, WorkloadError
from campaign.core.files import write_atomically
from campaign.workloads.sacct_command import COMMAND

ENDING = ".parquet"
EPILOG = f"""\
A log of Slurm's is written by
  {COMMAND} > log.txt
or, for fewer than some ten thousand jobs, by sacct --json. Columns may be left out and in any
order; what they don't say is unknown. A table of your own (CSV, TSV, Parquet) needs a map:
  hpc-campaign import jobs.csv 'workload.columns={{job_id: ID, arrival: SUBMITTED, ...}}' --out ...
The file is replayed by workload.path=FILE.parquet."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "words", nargs="+", metavar="LOG|SETTING", help=f"{FILE_USAGE}, or {SETTINGS_USAGE}"
    )
    parser.add_argument(
        "--out",
        type=file_to_write("--out", ENDING),
        metavar="FILE",
        help=f"the file to write: FILE{ENDING}",
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if there is one")
    parser.add_argument(
        "--anonymise",
        action="store_true",
        help="replace all names, number jobs and users anew, and leave out dates",
    )
    parser.add_argument(
        "--with-dates", action="store_true", help="with --anonymise: keep when the log began"
    )


def run(options: argparse.Namespace) -> int:
    """Read the log, write the file, and say what was done."""
    place = options.out
    if place is None:
        raise UsageError("import: no file to write", resolution=f"Use --out FILE{ENDING}.")
    if options.with_dates and not options.anonymise:
        raise UsageError(
            "import: --with-dates has no effect without --anonymise", resolution="Leave it out."
        )
    if place.exists() and not options.force:
        raise UsageError(
            f"{place} exists",
            resolution=f"Choose another --out FILE{ENDING}, or add --force to replace it.",
        )
    named = find_workload(options.words)
    from campaign.workloads.anonymous import anonymous
    from campaign.workloads.kept import content_of

    workload = named.workload
    source = f" of {named.source}"
    if options.anonymise:
        workload = anonymous(workload, dates=options.with_dates)
        source = ", anonymous"
    try:
        write_atomically(place, content_of(workload))
    except OSError as error:
        raise WorkloadError(
            f"{place}: {error.strerror}", resolution="Name a file that can be written."
        ) from error
    say(f"{place}: {len(workload)} jobs{source}")
    for sentence in workload.sentences:
        say(f"  {sentence}")
    return 0
