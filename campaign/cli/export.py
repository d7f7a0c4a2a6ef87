"""`hpc-campaign export`: a bootstrap plan for Ansible, or a trial's settings for a site's files."""

import argparse
from pathlib import Path

from campaign.cli.arguments import trial_of
from campaign.cli.output import say
from campaign.core.errors import ConfigError, LedgerError, UsageError
from campaign.core.files import user_path, write_atomically


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "what",
        choices=["ansible", "config"],
        help="ansible: one point's bootstrap plan; config: the change of a site's own "
        "configuration by which it would run as a trial did",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="SETTING|NAME:TRIAL",
        help="ansible: settings as for a search: cluster.nodes=3; config: the trial: demo:3",
    )
    parser.add_argument(
        "--out",
        type=user_path,
        metavar="PLACE",
        help="ansible: the folder (default: NAME-ansible); config: the file (default: the screen)",
    )
    parser.add_argument(
        "--against", type=user_path, metavar="CONF", help="config: the site's slurm.conf"
    )
    parser.add_argument(
        "--results",
        type=user_path,
        default=Path("results"),
        help="config: folder of results (default: results)",
    )


def run(options: argparse.Namespace) -> int:
    """Write what is wanted, and say what is in it."""
    if options.what == "config":
        _config(options)
    else:
        _ansible(options)
    return 0


def _ansible(options: argparse.Namespace) -> None:
    if options.against is not None:
        raise UsageError(
            "export ansible: --against has no effect on it",
            resolution="Leave it out, or use `export config`.",
        )
    from actors.bootstrap.ansible import write
    from campaign.config.compose import compose
    from campaign.testbeds.ansible_export import files, searched_lines

    composed = compose(options.words)
    place = options.out or Path(f"{composed.campaign.name}-ansible")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(
            f"{place} exists", resolution="Choose another --out FOLDER, or remove it."
        )
    write(place, files(composed))
    say("\n".join(searched_lines(composed)))
    say(f"{place} holds the playbook; {place}/README.md says what to fill in")


def _config(options: argparse.Namespace) -> None:
    if len(options.words) != 1 or options.against is None:
        raise UsageError(
            "export config: it takes a trial and the site's file",
            resolution="Use `export config NAME:TRIAL --against slurm.conf`.",
        )
    name, number = trial_of(options.words[0])
    from campaign.config.site_file import reader_for
    from campaign.execution.report_again import begun
    from campaign.records.results import Results
    from campaign.report.result import baseline_among
    from campaign.report.site_patch import site_patch

    composed, history = begun(Results(options.results, name))
    record = next((one for one in history.final() if one.number == number), None)
    if record is None or not record.valid:
        why = "has no such trial" if record is None else f"has no values of it ({record.outcome})"
        raise LedgerError(
            f"{name}:{number}: the campaign {name} {why}", resolution="Choose a valid trial."
        )
    space = composed.space
    reader = reader_for(composed.schedulers[space.scheduler(record.point)])
    found = reader.changed_site(options.against, space.params(record.point))
    if not found.params:
        say(f"{options.against} has the settings of {name}:{number} already")
        return
    text = site_patch(
        found,
        record,
        baseline_among(history.comparable(record.group)),
        composed.campaign.objectives,
    )
    if options.out is None:
        say(text.rstrip("\n"))
        return
    try:
        write_atomically(options.out, text.encode())
    except OSError as error:
        raise ConfigError(
            f"{options.out}: {error.strerror}", resolution="Name a file that can be written."
        ) from error
    names = ", ".join(found.params)
    say(f"{options.out}: the change of {names}; `patch -p0 < {options.out}` makes it")
