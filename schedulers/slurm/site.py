"""What of a site's slurm.conf is taken over: the parameters, and a verdict on every other line."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from campaign.schema.settings import Scalar
from schedulers.site_settings import SiteLine, SiteSettings, Verdict
from schedulers.slurm.conf_file import NOTHING, ConfPair, read_conf
from schedulers.slurm.params import OPTIONS, SlurmParams
from schedulers.slurm.passed_on import LINES, read_value
from schedulers.slurm.passed_on import OPTIONS as PASSED_OPTIONS
from schedulers.slurm.site_lines import PASSED_ON, verdict_on
from schedulers.slurm.template import fixed_lines

OPTIONS_LINE = "schedulerparameters"
DESCRIBED = {
    "nodename": "import with --cluster, or set cluster.nodes and cluster.slots_per_node",
    "nodeset": "import with --cluster, or set cluster.nodes and cluster.slots_per_node",
    "partitionname": "import with --cluster; else there is one partition, main, of all nodes",
    "downnodes": "all nodes are up",
}
"""Lines that describe more than one thing, and what stands in for them here."""


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
        elif last[key] is not pair and key in {OPTIONS_LINE, *_names(), *PASSED_ON}:
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
    elif key in fixed_lines():
        ours = fixed_lines()[key]
        same = ours.lower() == pair.value.lower()
        return _line(pair, "same" if same else "fixed", "" if same else f"{ours} here")
    elif key in PASSED_ON:
        return _passed(pair, f"{LINES}{pair.key}", params)
    return _line(pair, *verdict_on(key))


def _options(pair: ConfPair, params: dict[str, Scalar]) -> Iterator[SiteLine]:
    """Yield the verdict on each option of a SchedulerParameters line."""
    for option in filter(None, pair.value.split(",")):
        said, _, value = option.partition("=")
        one = ConfPair(pair.file, pair.line, said, value, first=False)
        name = _names().get(said.strip().lower())
        if name is None or name not in OPTIONS:
            yield _passed(one, f"{PASSED_OPTIONS}{said.strip()}", params, flag="=" not in option)
        elif name in params:
            yield _line(one, "other", "Slurm takes the first of its kind")
        else:
            flag = SlurmParams.model_fields[name].annotation is bool
            # Whatever follows a flag, that it stands there sets it.
            yield _taken(one, name, "yes" if flag else value, params)


def _passed(
    pair: ConfPair, name: str, params: dict[str, Scalar], *, flag: bool = False
) -> SiteLine:
    """Return the verdict on what is no parameter by itself and is written as it stands."""
    if name.lower() in {one.lower() for one in params}:
        return _line(pair, "other", "Slurm takes the first of its kind")
    line = _taken(pair, name, True if flag else read_value(pair.value), params)
    if line.verdict != "taken":
        return line
    why = "" if name.startswith(LINES) else "no option that Slurm 24.11 is known to have"
    return _line(pair, "passed", why)


def _taken(pair: ConfPair, name: str, value: Scalar, params: dict[str, Scalar]) -> SiteLine:
    try:
        read = SlurmParams.model_validate({name: value}, strict=False)
    except ValidationError as error:
        return _line(pair, "refused", str(error.errors()[0]["msg"]).removeprefix("Value error, "))
    params[name] = read.model_dump()[name]
    return _line(pair, "taken")


def _line(pair: ConfPair, verdict: Verdict, why: str = "") -> SiteLine:
    return SiteLine(pair.file, pair.line, pair.key, pair.value, verdict, why)


@cache
def _names() -> dict[str, str]:
    """Return the parameters' names by how Slurm compares them, in lower case."""
    return {name.lower(): name for name in SlurmParams.model_fields}
