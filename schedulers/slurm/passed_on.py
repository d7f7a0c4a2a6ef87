"""What a campaign may set of Slurm that nothing here knows: lines of slurm.conf, and options.

They are parameters as any other, fixed or searched, called `lines.KEY`, `options.NAME` and
`partitions.PARTITION.KEY`. What they may not do is say what a plan itself says, or a parameter.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, model_validator
from pydantic.fields import FieldInfo

from campaign.schema.settings import Scalar, setting
from schedulers.parameters import Params, WrongParameter
from schedulers.slurm.template import written_keys

LINES = "lines."
OPTIONS = "options."
PARTITIONS = "partitions."
OF_PARTITIONS = frozenset(
    """
    partitionname nodes default maxtime defaulttime maxnodes minnodes prioritytier priorityjobfactor
    priority allowaccounts allowqos qos preemptmode rootonly hidden state shared
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""What a partition's line has by `cluster.partitions`, or by the plan, in lower case."""
_KEY = re.compile(r"[A-Za-z]\w{0,60}", re.ASCII)
_LINE_VALUE = re.compile(r'[^\s"#\\$][^\n\r\t"#\\$]{0,999}', re.ASCII)
_OPTION_VALUE = re.compile(r'[^\s"#\\$,=]{1,200}', re.ASCII)


class PassedOnParams(Params):
    """Lines of slurm.conf, and options of SchedulerParameters, that are written as they stand."""

    model_config = ConfigDict(extra="allow")
    # Pydantic reads the type of what is beside the fields from here.
    __pydantic_extra__: dict[str, Scalar]

    open: ClassVar[Mapping[str, FieldInfo]] = {
        LINES: setting(
            help="a line of slurm.conf that is no parameter, as Slurm spells it, such as "
            "lines.KillWait=60; it is not read back from the scheduler",
            allowed="text or number",
        ),
        OPTIONS: setting(
            help="an option of SchedulerParameters that is no parameter; true: its name alone, "
            "false: not there; it is not read back either",
            allowed="text or number, true, false",
        ),
        PARTITIONS: setting(
            help="a key of a partition's line that cluster.partitions has no word for, such as "
            "partitions.PARTITION.GraceTime=120; it is not read back either",
            allowed="text or number",
        ),
    }

    @model_validator(mode="after")
    def _passable(self) -> Self:
        seen: dict[str, str] = {}
        for name, value in (self.model_extra or {}).items():
            if why := self._refused(name, value):
                raise WrongParameter(name, why)
            if other := seen.get(name.lower()):
                raise WrongParameter(name, f"{other} says the same, in other letters")
            seen[name.lower()] = name
        return self

    @property
    def lines(self) -> dict[str, str]:
        """The lines of slurm.conf, by key."""
        return {name: written(value) for name, value in self._below(LINES).items()}

    @property
    def options(self) -> dict[str, Scalar]:
        """The options of SchedulerParameters, by name."""
        return self._below(OPTIONS)

    @property
    def partitions(self) -> dict[str, dict[str, str]]:
        """What lines of partitions say beside what a plan does: by partition and key."""
        found: dict[str, dict[str, str]] = {}
        for name, value in self._below(PARTITIONS).items():
            partition, _, key = name.rpartition(".")
            found.setdefault(partition, {})[key] = written(value)
        return found

    def _below(self, prefix: str) -> dict[str, Scalar]:
        extra = self.model_extra or {}
        return {
            name.removeprefix(prefix): value
            for name, value in extra.items()
            if name.startswith(prefix)
        }

    @classmethod
    def _refused(cls, name: str, value: Any) -> str:
        """Return why a line or an option can't be passed on; nothing where it can."""
        prefix = next((one for one in cls.open if name.startswith(one)), None)
        if prefix is None:
            return f"there is no such parameter; {LINES}KEY is a line of slurm.conf"
        partition, _, key = name.removeprefix(prefix).rpartition(".")
        if prefix == PARTITIONS and not partition:
            return f"whose key it is: {PARTITIONS}PARTITION.KEY"
        if not _KEY.fullmatch(key) or (partition and prefix != PARTITIONS):
            return "no key that slurm.conf could have"
        return cls._known(prefix, partition, key) or _misfit(prefix, value)

    @classmethod
    def _known(cls, prefix: str, partition: str, key: str) -> str:
        """Return by what else a key is set; nothing where it can be passed on."""
        if prefix == PARTITIONS:
            is_set = key.lower() in OF_PARTITIONS
            return f"set it by cluster.partitions.{partition}" if is_set else ""
        if own := next((one for one in cls.model_fields if one.lower() == key.lower()), None):
            return f"it is a parameter of its own: set {own}"
        if prefix == LINES and key.lower() in written_keys():
            return "every trial's slurm.conf has this line by other settings of the campaign"
        return ""


def _misfit(prefix: str, value: Scalar) -> str:
    """Return why a value can't stand where it would; nothing where it can."""
    form = _OPTION_VALUE if prefix == OPTIONS else _LINE_VALUE
    if isinstance(value, bool) or form.fullmatch(str(value)):
        return ""
    more = ", blanks, commas and =" if prefix == OPTIONS else ""
    return f'a value is one line of ASCII without ", #, \\ and ${more}'


def read_value(text: str) -> Scalar:
    """Return what a site's file says as a parameter's value: a search may be over numbers."""
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,9}", text) else text


def written(value: Scalar) -> str:
    """Return how a value stands in a line of slurm.conf."""
    if isinstance(value, bool):
        return "YES" if value else "NO"
    text = str(value)
    return f'"{text}"' if " " in text else text
