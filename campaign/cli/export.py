"""`hpc-campaign export`: what others take over of a campaign.

A bootstrap plan for Ansible, a trial's settings for a site's files, a report's figures and tables,
a study of Optuna's.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from campaign.cli.arguments import trial_of
from campaign.cli.output import say
from campaign.core.errors import ConfigError, LedgerError, UsageError
from campaign.core.files import user_path, write_atomically

if TYPE_CHECKING:
    from campaign.config.compose import Composed
    from campaign.core.trials import TrialRecord
    from schedulers.site_settings import SiteChange


class SiteTrial(NamedTuple):
    """A trial, the one that it is compared with, and the change by which a site would run so."""

    composed: "Composed"
    record: "TrialRecord"
    baseline: "TrialRecord | None"
    change: "SiteChange"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "what",
        choices=["ansible", "config", "figures", "tables", "study"],
        help="config: the change of a site's own configuration by which it would run as a trial "
        "did, as a patch; ansible: the same as a playbook, or one point's bootstrap plan; figures: "
        "those of a campaign's report as SVG and PDF for a paper; tables: as CSV and LaTeX; study: "
        "a campaign's trials for optuna-dashboard",
    )
    parser.add_argument(
        "words",
        nargs="*",
        default=[],
        metavar="SETTING|NAME|NAME:TRIAL",
        help="the trial: demo:3; of figures, tables and a study the campaign: demo; or for ansible "
        "without --against, settings as for a search: cluster.nodes=3",
    )
    parser.add_argument(
        "--out",
        type=user_path,
        metavar="PLACE",
        help="the file of a change (default: the screen); the folder of a plan, of figures or "
        "tables (default: NAME-ansible, NAME-figures, NAME-tables); the file of a study (default: "
        "NAME.journal)",
    )
    parser.add_argument("--against", type=user_path, metavar="CONF", help="the site's slurm.conf")
    parser.add_argument(
        "--results",
        type=user_path,
        default=Path("results"),
        help="folder of results, of the trial (default: results)",
    )
    parser.add_argument(
        "--width",
        choices=["column", "page"],
        default="column",
        help="of figures: a column of 3.5 inches (the default), or a page of 7.16",
    )


def run(options: argparse.Namespace) -> int:
    """Write what is wanted, and say what is in it."""
    if options.what in ("figures", "tables"):
        _of_report(options)
    elif options.what == "study":
        _study(options)
    elif options.what == "ansible" and options.against is None:
        _plan(options)
    else:
        _change(options)
    return 0


def _study(options: argparse.Namespace) -> None:
    if len(options.words) != 1 or not set(options.words[0]).isdisjoint("=:"):
        raise UsageError("export study: it takes a campaign", resolution="Use `export study NAME`.")
    from campaign.execution.exported_study import study_of
    from campaign.records.results import Results

    (name,) = options.words
    journal, trials = study_of(Results(options.results, name))
    place = options.out or Path(f"{name}.journal")
    _write(place, journal)
    say(f"{place}: {trials} trials as a study of Optuna's; `optuna-dashboard {place}` opens it")


def _plan(options: argparse.Namespace) -> None:
    if any(":" in word and "=" not in word for word in options.words):
        raise UsageError(
            f"export ansible {options.words[0]}: a trial's change is one of a site's file",
            resolution="Add --against slurm.conf.",
        )
    from actors.bootstrap.ansible import write
    from campaign.config.compose import compose
    from campaign.testbeds.ansible_export import files, searched_lines

    composed = compose(options.words)
    place = _new_folder(options.out or Path(f"{composed.campaign.name}-ansible"))
    write(place, files(composed))
    say("\n".join(searched_lines(composed)))
    say(f"{place} holds the playbook; {place}/README.md says what to fill in")


def _of_report(options: argparse.Namespace) -> None:
    if len(options.words) != 1 or options.against is not None:
        raise UsageError(
            f"export {options.what}: it takes a campaign, and nothing else",
            resolution=f"Use `hpc-campaign export {options.what} NAME`.",
        )
    from campaign.execution.exported import export_figures, export_tables
    from campaign.records.results import Results

    name = options.words[0]
    place = _new_folder(options.out or Path(f"{name}-{options.what}"))
    results = Results(options.results, name)
    if options.what == "figures":
        files = export_figures(results, place, options.width)
    else:
        files = export_tables(results, place)
    say("\n".join(map(str, files)))


def _new_folder(place: Path) -> Path:
    """Return `place`; raise ConfigError where something is there that would be overwritten."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(
            f"{place} exists", resolution="Choose another --out FOLDER, or remove it."
        )
    return place


def _change(options: argparse.Namespace) -> None:
    if len(options.words) != 1 or options.against is None:
        raise UsageError(
            f"export {options.what}: it takes a trial and the site's file",
            resolution=f"Use `export {options.what} NAME:TRIAL --against slurm.conf`.",
        )
    found = _site_trial(options)
    if not found.change.params:
        say(f"{options.against} has the settings of {options.words[0]} already")
        return
    text = _playbook(found, options.against) if options.what == "ansible" else _patch(found)
    if options.out is None:
        say(text.rstrip("\n"))
        return
    _write(options.out, text.encode())
    names = ", ".join(found.change.params)
    tool = "ansible-playbook" if options.what == "ansible" else "patch -p0 <"
    say(f"{options.out}: the change of {names}; `{tool} {options.out}` makes it")


def _write(place: Path, content: bytes) -> None:
    try:
        write_atomically(place, content)
    except OSError as error:
        raise ConfigError(
            f"{place}: {error.strerror}", resolution="Name a file that can be written."
        ) from error


def _site_trial(options: argparse.Namespace) -> SiteTrial:
    """Return the trial and its change of the site's file; LedgerError if it isn't a valid one."""
    name, number = trial_of(options.words[0])
    from campaign.config.site_file import reader_for
    from campaign.execution.report_again import begun
    from campaign.records.results import Results
    from campaign.report.result import baseline_among

    composed, history = begun(Results(options.results, name))
    record = next((one for one in history.final() if one.number == number), None)
    if record is None or not record.valid:
        why = "has no such trial" if record is None else f"has no values of it ({record.outcome})"
        raise LedgerError(
            f"{name}:{number}: the campaign {name} {why}", resolution="Choose a valid trial."
        )
    space = composed.space
    reader = reader_for(composed.schedulers[space.scheduler(record.point)])
    change = reader.changed_site(options.against, space.params(record.point))
    return SiteTrial(composed, record, baseline_among(history.comparable(record.group)), change)


def _patch(found: SiteTrial) -> str:
    from campaign.report.site_patch import site_patch

    objectives = found.composed.campaign.objectives
    return site_patch(found.change, found.record, found.baseline, objectives)


def _playbook(found: SiteTrial, conf: Path) -> str:
    from campaign.report.site_playbook import site_playbook

    composed = found.composed
    params = composed.schedulers[composed.space.scheduler(found.record.point)].Params
    declared = {name: params.model_fields.get(name) for name in found.change.params}
    helps = {name: one.description or "" for name, one in declared.items() if one}
    return site_playbook(
        found.change,
        conf,
        found.record,
        found.baseline,
        objectives=composed.campaign.objectives,
        helps=helps,
    )
