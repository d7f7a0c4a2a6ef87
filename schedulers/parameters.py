"""The parameters of a scheduler, as a campaign fixes or searches them."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic.fields import FieldInfo

from campaign.schema.settings import Settings, conditions_of


class Params(Settings):
    """Base of a scheduler's parameters: a `tunable` for each, under the scheduler's own names.

    `open` has those that people name by themselves, such as lines of a file that nothing here
    knows: a declaration by what their names begin with. What they mean, only the scheduler knows.
    """

    open: ClassVar[Mapping[str, FieldInfo]] = {}

    @property
    def idle(self) -> frozenset[str]:
        """The parameters without an effect, since one that they depend on has another value."""
        return frozenset(
            name
            for name, field in type(self).model_fields.items()
            if any(
                getattr(self, other) not in values for other, values in conditions_of(field).items()
            )
        )

    @classmethod
    def field_of(cls, name: str) -> FieldInfo | None:
        """Return the declaration of a parameter; None where there is none that is called so."""
        return cls.model_fields.get(name) or next(
            (field for prefix, field in cls.open.items() if name.startswith(prefix)), None
        )


class WrongParameter(ValueError):
    """A parameter that people name by themselves can't be had so; `name` is its name."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.name = name
