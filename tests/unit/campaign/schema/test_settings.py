"""Rows of settings: one declaration gives type, bounds, unit, default and help, wherever they are
shown."""

from typing import Literal

import pytest
from pydantic import ValidationError

from campaign.schema.model import Campaign
from campaign.schema.settings import Settings, choices_of, rows, sampling_of, setting, tunable
from schedulers.registry import adapter, names


class Inner(Settings):
    """A model below another."""

    size: int = setting(3, help="how big", unit="MiB", ge=1, le=9)


class Outer(Settings):
    """One field of each kind."""

    inner: Inner
    many: dict[str, Inner] = setting(help="by name")
    kind: Literal["a", "b"] = setting("a", help="which")
    name: str | None = setting(None, help="what", pattern="^x$")
    ratio: float = tunable(0.5, help="how much", unit="s", ge=0, log=True)
    flag: bool = tunable(False, help="whether")
    pair: list[int] = setting([1, 2], help="both", allowed="[low, high]")
    count: int = tunable(8, help="how many", ge=0, le=100, step=4)


@pytest.fixture
def table():
    return {row.path: row for row in rows(Outer)}


def test_a_row_per_setting_in_order_of_declaration(table):
    assert list(table) == [
        "inner.size",
        "many.NAME.size",
        "kind",
        "name",
        "ratio",
        "flag",
        "pair",
        "count",
    ]


@pytest.mark.parametrize(
    ("path", "type_", "default", "allowed"),
    [
        ("inner.size", "whole number", "3", "[1 .. 9] MiB"),
        ("kind", "a | b", "a", "a | b"),
        ("name", "text", "not set", "text matching ^x$"),
        ("ratio", "number", "0.5", "[0 .. inf] s"),
        ("flag", "true | false", "false", "false | true"),
        ("pair", "list of whole number", "[1, 2]", "[low, high]"),
    ],
)
def test_a_row_says_type_default_and_what_is_allowed(table, path, type_, default, allowed):
    row = table[path]
    assert (row.type, row.default, row.allowed_with_unit) == (type_, default, allowed)
    assert row.help


def test_tunables_say_how_they_are_sampled():
    assert sampling_of(Outer.model_fields["ratio"]) == (True, None)
    assert sampling_of(Outer.model_fields["count"]) == (False, 4)
    assert sampling_of(Outer.model_fields["kind"]) == (False, None)


def test_choices_are_those_of_a_literal_or_a_flag():
    assert choices_of(Outer.model_fields["kind"]) == ("a", "b")
    assert choices_of(Outer.model_fields["flag"]) == (False, True)
    assert choices_of(Outer.model_fields["count"]) == ()


def test_settings_take_no_unknown_keys_and_never_change():
    with pytest.raises(ValidationError, match="Extra inputs"):
        Inner(size=2, colour="red")
    with pytest.raises(ValidationError, match="frozen"):
        Inner().size = 4


@pytest.mark.parametrize("size", [0, 10])
def test_bounds_hold_at_both_ends(size):
    with pytest.raises(ValidationError):
        Inner(size=size)
    assert Inner(size=1).size + Inner(size=9).size == 10


def test_every_setting_of_ours_says_what_it_is():
    found = [*rows(Campaign), *(row for name in names() for row in rows(adapter(name).Params))]
    assert len(found) > 60
    assert [row.path for row in found if not row.help or not row.allowed] == []
    assert len({row.path for row in found}) == len(found)


def test_every_time_and_memory_setting_has_a_unit():
    endings = ("_s", "_mib")
    assert [row.path for row in rows(Campaign) if row.path.endswith(endings) and not row.unit] == []
