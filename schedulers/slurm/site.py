"""What of a site's slurm.conf is taken over: the parameters, and a verdict on every other line."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from campaign.schema.settings import Scalar
from schedulers.site_settings import SiteLine, SiteSettings, Verdict
from schedulers.slurm.conf import TEMPLATE
from schedulers.slurm.conf_file import NOTHING, ConfPair, read_conf
from schedulers.slurm.params import OPTIONS, SlurmParams

OPTIONS_LINE = "schedulerparameters"
DESCRIBED = {
    "nodename": "import with --cluster, or set cluster.nodes and cluster.slots_per_node",
    "nodeset": "import with --cluster, or set cluster.nodes and cluster.slots_per_node",
    "partitionname": "import with --cluster; else there is one partition, main, of all nodes",
    "downnodes": "all nodes are up",
}
"""Lines that describe more than one thing, and what stands in for them here."""
DECIDE = frozenset(
    """
    accountingstorageenforce accountingstoragetres completewait defmempernode enforcepartlimits
    grestypes jobrequeue jobsubmitplugins killwait licenses maxarraysize maxmempercpu maxmempernode
    preemptexempttime preemptmode preempttype priorityparameters prioritysitefactorplugin
    priorityweighttres prolog prologflags prologslurmctld resvoverrun suspendtime topologyparam
    topologyplugin unkillablesteptimeout
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""Lines that decide which job starts when, and that nothing here expresses, in lower case."""
FIXED_LINE = re.compile(r"^(\w+)=([^{\n]*)$", re.MULTILINE)


def read_site(file: Path, instead: Mapping[Path, str] = NOTHING) -> SiteSettings:
    """Return what a site's slurm.conf says; ConfigError where it can't be read.

    Files in `instead` are read as if they had that content. Of a line that stands there twice,
    Slurm takes the last; of an option of SchedulerParameters, the first.
    """
    pairs = read_conf(file, instead)
    last = {pair.key.lower(): pair for pair in pairs}
    params: dict[str, Scalar] = {}
    lines: list[SiteLine] = []
    described = None
    for pair in pairs:
        key = pair.key.lower()
        if pair.first:
            described = DESCRIBED.get(key)
        if described is not None:
            if pair.first:
                lines.append(_line(pair, "missing", described))
        elif last[key] is not pair and (key == OPTIONS_LINE or key in _names()):
            lines.append(_line(pair, "other", f"line {last[key].line} says it anew"))
        elif key == OPTIONS_LINE:
            lines += _options(pair, params)
        else:
            lines.append(_of_pair(pair, params))
    return SiteSettings("slurm", params, tuple(lines))


def _of_pair(pair: ConfPair, params: dict[str, Scalar]) -> SiteLine:
    """Return the verdict on a pair; `params` gets the parameter that it is, if any."""
    key = pair.key.lower()
    if name := _names().get(key):
        if name not in OPTIONS:
            return _taken(pair, name, pair.value, params)
    elif key in _fixed():
        same = _fixed()[key].lower() == pair.value.lower()
        return _line(pair, "same" if same else "fixed", "" if same else f"{_fixed()[key]} here")
    return _line(pair, "missing" if key in DECIDE else "other")


def _options(pair: ConfPair, params: dict[str, Scalar]) -> Iterator[SiteLine]:
    """Yield the verdict on each option of a SchedulerParameters line."""
    for option in filter(None, pair.value.split(",")):
        said, _, value = option.partition("=")
        one = ConfPair(pair.file, pair.line, said, value, first=False)
        name = _names().get(said.strip().lower())
        if name is None or name not in OPTIONS:
            yield _line(one, "refused", "Slurm 24.11 has no such option of SchedulerParameters")
        elif name in params:
            yield _line(one, "other", "Slurm takes the first of its kind")
        else:
            flag = SlurmParams.model_fields[name].annotation is bool
            # Whatever follows a flag, that it stands there sets it.
            yield _taken(one, name, "yes" if flag else value, params)


def _taken(pair: ConfPair, name: str, value: str, params: dict[str, Scalar]) -> SiteLine:
    try:
        read = getattr(SlurmParams.model_validate({name: value}, strict=False), name)
    except ValidationError as error:
        return _line(pair, "refused", str(error.errors()[0]["msg"]).removeprefix("Value error, "))
    params[name] = read
    return _line(pair, "taken")


def _line(pair: ConfPair, verdict: Verdict, why: str = "") -> SiteLine:
    return SiteLine(pair.file, pair.line, pair.key, pair.value, verdict, why)


@cache
def _names() -> dict[str, str]:
    """Return the parameters' names by how Slurm compares them, in lower case."""
    return {name.lower(): name for name in SlurmParams.model_fields}


@cache
def _fixed() -> dict[str, str]:
    """Return the lines of our slurm.conf that are the same in every trial, by lower-case key."""
    found = FIXED_LINE.findall(TEMPLATE.read_text(encoding="utf-8"))
    return {key.lower(): value for key, value in found}
