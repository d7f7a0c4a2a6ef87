"""`hpc-campaign import`: a site's own log or settings become a file that any campaign can use."""

import argparse
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from campaign.cli.arguments import file_to_write, whole_number
from campaign.cli.output import say
from campaign.config.site_file import (
    group_file,
    is_site_file,
    lines_of,
    read_site_cluster,
    read_site_file,
    verdict_lines,
)
from campaign.config.workload_source import FILE_USAGE, SETTINGS_USAGE, find_workload
from campaign.core.errors import UsageError, WorkloadError
from campaign.core.files import user_path, write_atomically
from campaign.core.sacct_command import COMMAND
from schedulers.site_settings import SiteFiles

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
  hpc-campaign search --config-dir site scheduler=ours ...
With --cluster, or what else says more of it, nodes and partitions, accounts, users, qualities of
service and reservations become the cluster. The files are written by
  sacctmgr dump CLUSTER file=people.txt     (or sacctmgr -P show assoc tree > assoc.txt)
  sacctmgr -P show qos > qos.txt
  scontrol show reservation > reservations.txt
A large cluster is scaled to what runs here: --scale 1/16, or --nodes 24."""
OF_CLUSTER = ("gres", "accounts", "reservations", "begin", "scale", "nodes")
"""Options that say what the cluster is, and so that it is wanted."""


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
        type=file_to_write("--out", ENDING, SETTINGS_ENDING, folder_is_made=True),
        metavar="FILE",
        help=f"the file to write: FILE{ENDING}, or FILE{SETTINGS_ENDING} for settings; its folder "
        "is made if there is none",
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
    _configure_cluster(parser.add_argument_group("a site's cluster"))


def _configure_cluster(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--cluster", action="store_true", help="take nodes and partitions from slurm.conf too"
    )
    group.add_argument("--gres", type=user_path, metavar="FILE", help="gres.conf: types of GPUs")
    group.add_argument(
        "--accounts",
        type=user_path,
        metavar="FILE",
        action="append",
        help="accounts, users or qualities of service, by sacctmgr; may be given several times",
    )
    group.add_argument(
        "--reservations", type=user_path, metavar="FILE", help="reservations, by scontrol"
    )
    group.add_argument(
        "--begin",
        type=_moment,
        metavar="TIME",
        help="when the workload begins, in the site's time: 2026-01-31T08:00; reservations count "
        "from then on (default: from the first one's start)",
    )
    group.add_argument(
        "--scale", type=_share, metavar="SHARE", help="this share of the nodes: 1/16"
    )
    group.add_argument(
        "--nodes", type=whole_number("--nodes"), metavar="N", help="so many nodes in all"
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
    _check_cluster(options, settings=settings)
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
        _import_settings(options, place)
    else:
        _import_log(options, place)
    return 0


def _import_settings(options: argparse.Namespace, place: Path) -> None:
    source = user_path(options.words[0])
    read = read_site_file(source)
    cluster = None
    if options.cluster or _given(options):
        files = SiteFiles(
            source,
            options.gres,
            tuple(options.accounts or ()),
            options.reservations,
            options.begin,
        )
        cluster = read_site_cluster(files, share=options.scale, nodes=options.nodes)
    _write(place, group_file(read, source, cluster).encode())
    count = len(read.params) + len(cluster.params if cluster else ())
    say(f"{place}: {count} parameters of {read.scheduler}, of {source}")
    if cluster is not None:
        model = cluster.model
        kinds = ("groups", "partitions", "accounts", "users", "qos", "reservations")
        counts = ", ".join(f"{len(getattr(model, kind))} {kind}" for kind in kinds)
        say(f"  cluster: {counts}")
        for sentence in cluster.sentences:
            say(f"  {sentence}")
    for line in verdict_lines(lines_of(read, cluster)):
        say(f"  {line}")


def _given(options: argparse.Namespace) -> list[str]:
    return [f"--{name}" for name in OF_CLUSTER if getattr(options, name) is not None]


def _check_cluster(options: argparse.Namespace, *, settings: bool) -> None:
    """Raise UsageError for options of the cluster that say nothing, or two things."""
    given = [*(["--cluster"] if options.cluster else []), *_given(options)]
    why = None
    if given and not settings:
        why = f"{given[0]} has no effect on a log"
    elif options.scale is not None and options.nodes is not None:
        why = "--scale and --nodes say the same thing"
    elif options.begin is not None and options.reservations is None:
        why = "--begin has no effect without --reservations"
    if why:
        raise UsageError(f"import: {why}", resolution="Leave it out.")


def _share(text: str) -> Fraction:
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share < 1:
        raise UsageError(
            f"--scale {text}: expected a share of the nodes below 1", resolution="Use --scale 1/16."
        )
    return share


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise UsageError(
            f"--begin {text}: not a time", resolution="Use --begin 2026-01-31T08:00."
        ) from None


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
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, content)
    except OSError as error:
        raise WorkloadError(
            f"{place}: {error.strerror}", resolution="Name a file that can be written."
        ) from error
