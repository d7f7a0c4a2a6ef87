"""`python -m campaign docs`: writes the tables of docs/settings.md and docs/metrics.md from the rows in the code."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from campaign.metrics import METRICS
from campaign.model import Campaign
from campaign.report.times import label_of
from campaign.settings import Row, rows
from campaign.trials import MEASURED, PHASES
from schedulers import registry


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"), help="where to write (default: docs)")


def run(options: argparse.Namespace) -> int:
    """Write the pages."""
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (options.folder / name).write_text(text)
        print(options.folder / name)
    return 0


def pages() -> dict[str, str]:
    """The generated pages by file name."""
    return {"settings.md": settings_page(), "metrics.md": metrics_page()}


def settings_page() -> str:
    """Every setting, and every scheduler's parameters."""
    parts = ["# Settings\n\nMade by `python -m campaign docs`; the rows stand in the code.\n", _table(rows(Campaign))]
    for name in registry.names():
        parts += [f"\n## scheduler.params of {name}\n", _table(rows(registry.adapter(name).Params))]
    return "\n".join(parts)


def metrics_page() -> str:
    """Every metric with its definition."""
    head = "# Metrics\n\nMade by `python -m campaign docs`; the rows stand in the code.\n\n"
    head += "| metric | unit | definition | source |\n| --- | --- | --- | --- |\n"
    lines = [f"| {name} | {m.unit} | {_cell(m.definition)} | {_cell(m.source)} |\n" for name, m in METRICS.items()]
    return head + "".join(lines) + _phases()


def _phases() -> str:
    head = "\n## Phase clocks\n\nOf every trial, in seconds, each from the end of the one before it. "
    head += f"The workload runs in {' and '.join(f'`{name}`' for name in PHASES if name in MEASURED)}.\n\n"
    head += "| metric | until |\n| --- | --- |\n"
    return head + "".join(f"| phase.{name}_s | {label_of(name)} |\n" for name in PHASES)


def _table(table: Iterable[Row]) -> str:
    head = "| setting | allowed | default | what it is |\n| --- | --- | --- | --- |\n"
    return head + "".join(
        f"| `{row.path}` | {_cell(row.allowed_with_unit)} | {_cell(row.default)} | {_cell(row.help)} |\n"
        for row in table
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
