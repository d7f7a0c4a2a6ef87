"""The template of slurm.conf, and which lines it has."""

import re
from functools import cache
from pathlib import Path

TEMPLATE = Path(__file__).with_name("slurm.conf.j2")
_FIXED_LINE = re.compile(r"^(\w+)=([^{\n]*)$", re.MULTILINE)
_LINE = re.compile(r"^(\w+)=", re.MULTILINE)
OF_THE_CLUSTER = frozenset(
    """
    accountingstorageenforce accountingstoragehost accountingstorageport accountingstoragetres
    accountingstoragetype downnodes grestypes include nodeset partitionname preemptmode preempttype
    schedulerparameters
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""Lines that a trial has where its cluster, or the plan, needs them, in lower case."""


@cache
def fixed_lines() -> dict[str, str]:
    """Return the lines of our slurm.conf that are the same in every trial, by lower-case key."""
    return {key.lower(): value for key, value in _FIXED_LINE.findall(_text())}


@cache
def written_keys() -> frozenset[str]:
    """Return the keys of all lines that a plan writes by itself, in lower case."""
    return OF_THE_CLUSTER | {key.lower() for key in _LINE.findall(_text())}


def _text() -> str:
    return TEMPLATE.read_text(encoding="utf-8")
