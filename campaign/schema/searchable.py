"""Values that a campaign fixes or searches: a range, a list of choices, or the value itself."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag, model_validator

from campaign.schema.settings import Scalar, Settings, setting


class Range(Settings):
    """A searched range, both ends included; `[low, high]` is its short form."""

    low: float = setting(help="lowest value")
    high: float = setting(help="highest value")
    log: bool | None = setting(None, help="sample on a logarithmic scale")
    step: int | None = setting(None, help="distance between neighbouring values", ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(
                f"the range [{self.low:g}, {self.high:g}] has its ends the wrong way round"
            )
        return self


class Choices(Settings):
    """A searched list of values."""

    choices: list[Scalar] = setting(help="the values to choose from")

    @model_validator(mode="after")
    def _several(self) -> "Choices":
        if not self.choices or len(set(map(repr, self.choices))) != len(self.choices):
            raise ValueError("choices must hold at least one value, each once")
        return self


_SEARCHED = {*Range.model_fields, *Choices.model_fields}


def without_groups(values: object, depth: int = 2) -> object:
    """Return a mapping in which a setting of the group `lines` is called `lines.NAME`.

    Groups may stand in groups, `depth` deep. What isn't a mapping, or one that says what is
    searched, stays as it is.
    """
    if not isinstance(values, dict):
        return values
    found: dict[object, object] = {}
    for name, value in values.items():
        group = isinstance(value, dict) and value and not value.keys() & _SEARCHED
        below = without_groups(value, depth - 1) if group and depth else value
        if group and depth and isinstance(below, dict):
            found |= {f"{name}.{one}": each for one, each in below.items()}
        else:
            found[name] = value
    return found


def _kind(value: Any) -> str:
    if isinstance(value, Choices) or (isinstance(value, dict) and "choices" in value):
        return "choices"
    if isinstance(value, Range | dict):
        return "range"
    return "list" if isinstance(value, list | tuple) else "fixed"


Searchable = Annotated[
    Annotated[Scalar, Tag("fixed")]
    | Annotated[list[Scalar], Tag("list")]
    | Annotated[Range, Tag("range")]
    | Annotated[Choices, Tag("choices")],
    Discriminator(_kind),
]
