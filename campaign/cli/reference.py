"""The generated pages of docs/ on commands and on the columns of the Parquet files."""

import argparse
from collections.abc import Iterator, Mapping

import pyarrow as pa

from campaign.cli.commands import COMMANDS, DESCRIPTION
from campaign.cli.parser import PROGRAM, build
from campaign.core.columns import (
    JOBS_COLUMNS,
    LABEL_COLUMNS,
    TRAITS_COLUMNS,
    WORKLOAD_COLUMNS,
    Column,
)
from campaign.core.jobs import TRAITS_SCHEMA, WORKLOAD_SCHEMA
from campaign.records.dataset import DATASET_SCHEMA

HEAD = "Made by `make docs`; the rows stand in the code.\n"

JOBS_TEXT = """
## Jobs of a campaign

`results/NAME/jobs/` holds a file for each trial, or for each workload instance of one; each has a
row per job. Times in nanoseconds are whole numbers on one clock, counted from the workload's start,
and null where a thing never happened.

```python
import pyarrow.parquet as pq

jobs = pq.ParquetFile("results/demo/jobs/trial=00000.parquet").read().to_pandas()
jobs["wait_s"] = (jobs.start_ns - jobs.submit_ns) / 1e9
print(jobs.groupby("user").wait_s.describe())
```

"""
WORKLOAD_TEXT = """
## Jobs of a workload

`results/NAME/workload.parquet`, and what `hpc-campaign import` writes: the first six columns, and
of the others those of which the log says anything. Null is unknown. What begins with `recorded_` is
what became of the job where the log was written; no scheduler is told.

"""


def columns_page() -> str:
    """Return the page of the columns, with type, unit and meaning of each."""
    labels = LABEL_COLUMNS | WORKLOAD_COLUMNS | JOBS_COLUMNS
    workload = pa.schema([*WORKLOAD_SCHEMA, *TRAITS_SCHEMA])
    return (
        f"# Columns of the Parquet files\n\n{HEAD}"
        + JOBS_TEXT
        + _columns(DATASET_SCHEMA, labels)
        + WORKLOAD_TEXT
        + _columns(workload, WORKLOAD_COLUMNS | TRAITS_COLUMNS)
    )


def _columns(schema: pa.Schema, columns: Mapping[str, Column]) -> str:
    head = "| column | type | unit | what it is |\n| --- | --- | --- | --- |\n"
    return head + "".join(
        f"| `{field.name}` | {_type(field.type)} | {columns[field.name].unit} | "
        f"{columns[field.name].meaning} |\n"
        for field in schema
    )


def _type(of: pa.DataType) -> str:
    if pa.types.is_dictionary(of):
        return _type(of.value_type)
    if pa.types.is_list(of):
        return f"list of {_type(of.value_type)}"
    return {"string": "text", "double": "float64"}.get(str(of), str(of))


def commands_page() -> str:
    """Return the page of every command with its arguments, from the parsers themselves."""
    first = DESCRIPTION.splitlines()[0]
    parts = [f"# Commands\n\n{HEAD}\n{first} `{PROGRAM} COMMAND --help` prints examples, too.\n"]
    for name, summary in COMMANDS.items():
        chosen = build(COMMANDS, [name], DESCRIPTION)
        parts += _command(f"{PROGRAM} {name}", summary, _below(chosen)[name], level=2)
    return "\n".join(parts)


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands below a parser, by name."""
    for action in parser._actions:  # argparse has no public way to them
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _command(
    name: str, summary: str, parser: argparse.ArgumentParser, *, level: int
) -> Iterator[str]:
    yield f"{'#' * level} {name}\n"
    if summary:
        yield f"{summary[0].upper()}{summary[1:]}.\n"
    shown = [row for action in parser._actions if (row := _row(action))]
    if shown:
        yield "| argument | what it is |\n| --- | --- |\n" + "\n".join(shown) + "\n"
    summaries = _summaries(parser)
    for below, its_parser in _below(parser).items():
        yield from _command(f"{name} {below}", summaries[below], its_parser, level=level + 1)


def _summaries(parser: argparse.ArgumentParser) -> dict[str, str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {choice.dest: choice.help or "" for choice in action._choices_actions}
    return {}


def _row(action: argparse.Action) -> str:
    """Return the table's row of one argument; "" for those that every command has."""
    hidden = isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
    if hidden or action.dest == "verbose" or action.help == argparse.SUPPRESS:
        return ""
    values = "" if action.nargs == 0 else _values(action)
    names = ", ".join(action.option_strings)
    shown = " ".join(part for part in (names, values) if part)
    text = (action.help or "").replace("%%", "%")
    return "| `{}` | {} |".format(*(cell.replace("|", "\\|") for cell in (shown, text)))


def _values(action: argparse.Action) -> str:
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    given = action.metavar or action.dest
    name = given if isinstance(given, str) else " ".join(given)
    return name.upper() if not action.metavar else name
