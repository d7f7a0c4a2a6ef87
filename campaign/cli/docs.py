"""`make docs`: writes the generated pages of docs/, from rows in the code."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from campaign.analysis.metrics import METRICS
from campaign.analysis.rules import RULES
from campaign.cli.metric_prose import classes_text, shares_text
from campaign.cli.output import say
from campaign.cli.reference import columns_page, commands_page
from campaign.config.defaults import parameter_rows, setting_rows
from campaign.core.files import XDG_FOLDERS
from campaign.core.jobs import BOUNDED_SLOWDOWN_TAU_S
from campaign.core.phases import TIMED
from campaign.schema.model import BETTER
from campaign.schema.settings import SettingRow
from schedulers import registry


def main(arguments: Sequence[str]) -> int:
    """Write the pages into the folder that `arguments` name, docs/ where they name none."""
    folder = Path(arguments[0]) if arguments else Path("docs")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)
        say(f"{folder / name}")
    return 0


def pages() -> dict[str, str]:
    """Return the generated pages by file name."""
    return {
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "columns.md": columns_page(),
        "commands.md": commands_page(),
    }


def settings_page() -> str:
    """Return the page of every setting and parameter, with the defaults that hold."""
    folders = ", ".join(f"`${name}` is {place}" for name, place in XDG_FOLDERS.items())
    parts = [
        "# Settings\n\nMade by `make docs`; the rows stand in the code.\n",
        f"In paths, {folders} where the variable isn't set.\n",
        _table(setting_rows()),
    ]
    for name in registry.names():
        parts += [f"\n## scheduler.params of {name}\n", _table(parameter_rows(name))]
    return "\n".join(parts)


def metrics_page() -> str:
    """Every metric with its definition, the phase clocks, and every check of the validity gate."""
    head = "# Metrics\n\nMade by `make docs`; the rows stand in the code.\n\n"
    head += (
        "Metrics are over the jobs that finished. One that has no meaning for a trial has no "
        "value: the trial's "
    )
    head += "record and the report say why.\n\n"
    head += "| metric | unit | better | definition | source |\n| --- | --- | --- | --- | --- |\n"
    tau = f"{BOUNDED_SLOWDOWN_TAU_S:g} s x workload.time_scale"
    lines = (
        f"| {name} | {m.unit} | {BETTER[m.natural_direction]} | {_cell(m.defined(tau))} | "
        f"{_cell(m.source)} |\n"
        for name, m in METRICS.items()
    )
    return head + "".join(lines) + classes_text() + shares_text() + _phases() + _validity()


def _phases() -> str:
    head = (
        "\n## Phase clocks\n\nOf every trial, in seconds, each from the end of the one before it. "
    )
    head += f"The workload runs in {', '.join(f'`{name}`' for name in TIMED if name.measured)}.\n\n"
    head += "| metric | until |\n| --- | --- |\n"
    return head + "".join(f"| {phase.metric} | {phase.label} |\n" for phase in TIMED)


def _validity() -> str:
    head = (
        "\n## Validity\n\nA trial with a value above a threshold is invalid: tried again, and "
        "never a data point. "
    )
    head += (
        "Simulated trials are judged by their jobs only, and by where these ran if that was "
        "kept.\n\n"
    )
    head += "| check | value | threshold | default | judged by |\n| --- | --- | --- | --- | --- |\n"
    return head + "".join(
        f"| {name} | {_cell(rule.counts)} | `{rule.setting}` | {rule.default} | "
        f"{'jobs' if rule.of_jobs else 'platform'} |\n"
        for name, rule in RULES.items()
    )


def _table(table: Iterable[SettingRow]) -> str:
    head = "| setting | allowed | default | what it is |\n| --- | --- | --- | --- |\n"
    return head + "".join(
        f"| `{row.path}` | {_cell(row.allowed_with_unit)} | {_cell(row.default)} | "
        f"{_cell(row.help)} |\n"
        for row in table
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
