"""YAML as Ansible's own documents have it: templates, text that is none, lists on one line."""

import re
from typing import Any

import yaml


class TemplateText(str):
    """Text in which Ansible looks for templates; quoted as Ansible's own documents do."""


class RawText(str):
    """Text in which Ansible must not look for templates."""


def raw(text: str) -> str:
    """Return the text so that Ansible looks for no template in it."""
    return RawText(text) if re.search(r"\{[{%#]", text) else text


class OneLine:
    """A list or mapping that is written on one line."""

    def __init__(self, value: "list[Any] | dict[str, Any]") -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OneLine) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Writes YAML as Ansible's own documents do: lists indented below their names."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their names, which PyYAML doesn't by itself."""
        super().increase_indent(flow, False)


def _represent_flow(dumper: _Dumper, flow: OneLine) -> yaml.Node:
    node = dumper.represent_data(flow.value)
    node.flow_style = True
    return node


# Ansible's own tag for text without templates.
_Dumper.add_representer(RawText, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text)))
_Dumper.add_representer(
    TemplateText, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, '"')
)
_Dumper.add_representer(OneLine, _represent_flow)


def to_yaml(value: Any) -> str:
    """Return a value as YAML."""
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=120,
        default_flow_style=False,
    )
    return text
