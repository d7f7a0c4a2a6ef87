"""What a campaign may set of Slurm that nothing here knows: lines of slurm.conf, and options.

They are parameters as any other, fixed or searched, called `lines.KEY` and `options.NAME`. What
they may not do is say what a plan itself says, or a parameter.
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
        key = name.removeprefix(prefix)
        if not _KEY.fullmatch(key):
            return "no key that slurm.conf could have"
        if known := next((one for one in cls.model_fields if one.lower() == key.lower()), None):
            return f"it is a parameter of its own: set {known}"
        if prefix == LINES and key.lower() in written_keys():
            return "every trial's slurm.conf has this line by other settings of the campaign"
        form = _LINE_VALUE if prefix == LINES else _OPTION_VALUE
        if not isinstance(value, bool) and not form.fullmatch(str(value)):
            return 'a value is one line of ASCII without ", #, \\ and $' + (
                "" if prefix == LINES else ", blanks, commas and ="
            )
        return ""


def written(value: Scalar) -> str:
    """Return how a value stands in a line of slurm.conf."""
    if isinstance(value, bool):
        return "YES" if value else "NO"
    text = str(value)
    return f'"{text}"' if " " in text else text
