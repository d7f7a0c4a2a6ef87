"""`hpc-campaign import`: a site's own log or settings become a file that any campaign can use."""

import argparse
from pathlib import Path

from campaign.cli.arguments import file_to_write
from campaign.cli.output import say
from campaign.config.site_file import group_file, is_site_file, read_site_file, verdict_lines
from campaign.config.workload_source import FILE_USAGE, SETTINGS_USAGE, find_workload
from campaign.core.errors import UsageError, WorkloadError
from campaign.core.files import user_path, write_atomically
from campaign.workloads.sacct_command import COMMAND

ENDING = ".parquet"
SETTINGS_ENDING = ".yaml"
EPILOG = f"""\
A log of Slurm's is written by
  {COMMAND} > log.txt
or, for fewer than some ten thousand jobs, by sacct --json. Columns may be left out and in any
order; what they don't say is unknown. A table of your own (CSV, TSV, Parquet) needs a map:
  hpc-campaign import jobs.csv 'workload.columns={{job_id: ID, arrival: SUBMITTED, ...}}' --out ...
The file is replayed by workload.path=FILE.parquet.

Slurm's own settings become an option of the group scheduler, and the baseline:
  hpc-campaign import /etc/slurm/slurm.conf --out site/scheduler/ours.yaml
  hpc-campaign search --config-dir site scheduler=ours ..."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "words",
        nargs="+",
        metavar="LOG|CONF|SETTING",
        help=f"{FILE_USAGE}, or {SETTINGS_USAGE}; or a scheduler's own configuration: slurm.conf",
    )
    parser.add_argument(
        "--out",
        type=file_to_write("--out", ENDING, SETTINGS_ENDING),
        metavar="FILE",
        help=f"the file to write: FILE{ENDING}, or FILE{SETTINGS_ENDING} for settings",
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
    """Read the log or the settings, write the file, and say what was done."""
    first = options.words[0]
    source = Path(first)
    settings = len(options.words) == 1 and "=" not in first and is_site_file(source)
    place = options.out
    ending = SETTINGS_ENDING if settings else ENDING
    if place is None or place.suffix != ending:
        raise UsageError(
            f"import: {'no file to write' if place is None else f'{place} is no FILE{ending}'}",
            resolution=f"Use --out FILE{ending}.",
        )
    if settings and options.anonymise:
        raise UsageError(
            "import: --anonymise has no effect on settings", resolution="Leave it out."
        )
    if options.with_dates and not options.anonymise:
        raise UsageError(
            "import: --with-dates has no effect without --anonymise", resolution="Leave it out."
        )
    if place.exists() and not options.force:
        raise UsageError(
            f"{place} exists",
            resolution=f"Choose another --out FILE{ending}, or add --force to replace it.",
        )
    if settings:
        _import_settings(user_path(first), place)
    else:
        _import_log(options, place)
    return 0


def _import_settings(source: Path, place: Path) -> None:
    read = read_site_file(source)
    _write(place, group_file(read, source).encode())
    say(f"{place}: {len(read.params)} parameters of {read.scheduler}, of {source}")
    for line in verdict_lines(read):
        say(f"  {line}")


def _import_log(options: argparse.Namespace, place: Path) -> None:
    named = find_workload(options.words)
    from campaign.workloads.anonymous import anonymous
    from campaign.workloads.kept import content_of

    workload = named.workload
    source = f" of {named.source}"
    if options.anonymise:
        workload = anonymous(workload, dates=options.with_dates)
        source = ", anonymous"
    _write(place, content_of(workload))
    say(f"{place}: {len(workload)} jobs{source}")
    for sentence in workload.sentences:
        say(f"  {sentence}")


def _write(place: Path, content: bytes) -> None:
    try:
        write_atomically(place, content)
    except OSError as error:
        raise WorkloadError(
            f"{place}: {error.strerror}", resolution="Name a file that can be written."
        ) from error
