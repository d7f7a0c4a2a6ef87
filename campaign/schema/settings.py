"""One row per setting: default, bounds, unit and help stand in one place.

Validation, `--help`, error messages, Optuna distributions, the docs table and the MLflow parameters
all read these rows; none of them repeats a bound.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Scalar = bool | int | float | str
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,39}$"
"""The pattern of names that people choose: of campaigns, hosts and images."""


class Settings(BaseModel):
    """Base of every configuration model: unknown keys are errors, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def setting(
    default: Any = ...,
    *,
    help: str,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    pattern: str | None = None,
    factory: Any = None,
    allowed: str = "",
) -> Any:
    """Declare one setting; without a default it is required.

    `ge` and `le` are the bounds of a number, `pattern` is that of a text. `factory` makes a default
    that is a mapping or a list. `allowed` says in words what type and bounds can't.
    """
    extra: dict[str, Any] = {"unit": unit, "allowed": allowed}
    bounds: dict[str, Any] = {
        "ge": ge,
        "le": le,
        "pattern": pattern,
        "description": help,
        "json_schema_extra": extra,
    }
    return Field(default_factory=factory, **bounds) if factory else Field(default, **bounds)


def tunable(
    default: Scalar,
    *,
    help: str,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    log: bool = False,
    step: int | None = None,
    allowed: str = "",
    examples: list[Any] | None = None,
    only: Mapping[str, Sequence[Scalar]] | None = None,
) -> Any:
    """Declare one tunable of a scheduler: a setting that a search may vary.

    `log` and `step` are how a range of it is sampled, unless the campaign sets them. `allowed` says
    in words what type and bounds can't, and `examples` are values that make sense, where bounds
    are none to try. It has an effect `only` where other tunables have one of these values.
    """
    extra: dict[str, Any] = {"unit": unit, "log": log, "step": step, "allowed": allowed}
    extra["only"] = {name: list(values) for name, values in (only or {}).items()}
    return Field(
        default, ge=ge, le=le, description=help, examples=examples, json_schema_extra=extra
    )


@dataclass(frozen=True)
class SettingRow:
    """A setting as people read it: its dotted `path` and the values that are allowed."""

    path: str
    type: str
    default: str
    allowed: str
    unit: str
    help: str

    @property
    def allowed_with_unit(self) -> str:
        """The allowed values followed by their unit."""
        return f"{self.allowed} {self.unit}".strip()


def rows(model: type[BaseModel], prefix: str = "") -> Iterator[SettingRow]:
    """Yield a row per setting of `model` and of the models below it, in order of declaration."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        below = model_below(field.annotation)
        if below is None:
            yield row_of(path, field)
        else:
            inner, key = below
            yield from rows(inner, f"{path}.{key}")


def row_of(path: str, field: FieldInfo) -> SettingRow:
    """Return the row of one field."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = (
        "required" if field.is_required() else written(field.get_default(call_default_factory=True))
    )
    unit = str(extra.get("unit") or "")
    return SettingRow(
        path,
        _type_name(field.annotation),
        default,
        allowed_of(field),
        unit,
        field.description or "",
    )


def allowed_of(field: FieldInfo) -> str:
    """Return the values that a field takes, in words: its choices, its bounds, or its type."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    if extra.get("allowed"):
        return str(extra["allowed"])
    options = choices_of(field)
    if options:
        return " | ".join(written(option) for option in options)
    low, high, pattern = (_bound(field, key) for key in ("ge", "le", "pattern"))
    if pattern is not None:
        return f"text matching {pattern}"
    if low is None and high is None:
        return _type_name(field.annotation)
    left = "-inf" if low is None else f"{low:.12g}"
    right = "inf" if high is None else f"{high:.12g}"
    return f"[{left} .. {right}]"


def written(value: object) -> str:
    """Return a value as people write it in YAML; `not set` for None."""
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def choices_of(field: FieldInfo) -> tuple[Scalar, ...]:
    """Return the options of a Literal or a flag; none for anything else."""
    if get_origin(field.annotation) is Literal:
        return get_args(field.annotation)
    return (False, True) if field.annotation is bool else ()


def sampling_of(field: FieldInfo) -> tuple[bool, int | None]:
    """Return how a range of a tunable is sampled: on a logarithmic scale or not, and the step."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    step = extra.get("step")
    return bool(extra.get("log")), step if isinstance(step, int) else None


def conditions_of(field: FieldInfo) -> dict[str, tuple[Scalar, ...]]:
    """Return the other tunables on which it depends whether this one has an effect.

    It has one where each of them has one of its values.
    """
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    only: Any = extra.get("only") or {}
    return {name: tuple(values) for name, values in only.items()}


def _bound(field: FieldInfo, key: str) -> Any:
    return next(
        (getattr(item, key) for item in field.metadata if getattr(item, key, None) is not None),
        None,
    )


def model_below(annotation: Any) -> tuple[type[BaseModel], str] | None:
    """Return the model below a field, and the path between them, or None for a plain value.

    The path is empty, or `NAME.` where the field is a mapping of models.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    if get_origin(annotation) is dict:
        value = get_args(annotation)[1]
        if isinstance(value, type) and issubclass(value, BaseModel):
            return value, "NAME."
    return None


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(
            _type_name(part) for part in get_args(annotation) if part is not type(None)
        )
    if get_origin(annotation) is Annotated:
        return _type_name(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " | ".join(str(option) for option in get_args(annotation))
    if get_origin(annotation) is list:
        return f"list of {_type_name(get_args(annotation)[0])}"
    names = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))
